variable "outrider_image" { type = string }
variable "outrider_collector" { type = string }
variable "outrider_token" { type = string } # ARN of the secret with the bootstrap token

resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  pid_mode                 = "task"
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = "arn:aws:iam::111122223333:role/outrider-execution"
  task_role_arn            = "arn:aws:iam::111122223333:role/web"

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "outrider-journal"
  }

  container_definitions = jsonencode([
    {
      name      = "app"
      image     = "registry.example/web:1"
      essential = true
      portMappings = [
        {
          containerPort = 8080
          protocol      = "tcp"
        },
      ]
      environment = [
        {
          name  = "STAGE"
          value = "production"
        },
      ]
      secrets = [
        {
          name      = "DATABASE_URL"
          valueFrom = "arn:aws:secretsmanager:REGION:111122223333:secret:database"
        },
      ]
      healthCheck = {
        command  = ["CMD-SHELL", "curl -fs http://localhost:8080/healthz"]
        interval = 10
      }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = "/web"
          awslogs-region        = "REGION"
          awslogs-stream-prefix = "ecs"
        }
      }
    },
    {
      name                   = "outrider"
      image                  = var.outrider_image
      essential              = false
      memory                 = 128
      memoryReservation      = 64
      user                   = "0"
      readonlyRootFilesystem = true
      linuxParameters = {
        capabilities = {
          add = ["SYS_PTRACE"]
        }
      }
      mountPoints = [
        {
          sourceVolume  = "outrider-journal"
          containerPath = "/outrider"
          readOnly      = false
        },
      ]
      environment = [
        {
          name  = "OUTRIDER_MODE"
          value = "task"
        },
        {
          name  = "OUTRIDER_COLLECTOR_URL"
          value = var.outrider_collector
        },
        {
          name  = "OUTRIDER_STOP_TIMEOUT_S"
          value = "30"
        },
      ]
      secrets = [
        {
          name      = "OUTRIDER_TOKEN"
          valueFrom = var.outrider_token
        },
      ]
      healthCheck = {
        command     = ["CMD", "outrider", "health"]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 20
      }
      restartPolicy = {
        enabled              = true
        restartAttemptPeriod = 60
      }
      stopTimeout = 30
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = "/web"
          awslogs-region        = "REGION"
          awslogs-stream-prefix = "ecs"
          mode                  = "non-blocking"
        }
      }
      dockerLabels = {
        "outrider.version" = "0.1.0"
        "outrider.undo"    = "{\"volume\":\"outrider-journal\",\"fields\":{\"pidMode\":[],\"volumes\":[]}}"
      }
    },
  ])
}
