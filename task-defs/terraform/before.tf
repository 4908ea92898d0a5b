resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = "arn:aws:iam::111122223333:role/outrider-execution"
  task_role_arn            = "arn:aws:iam::111122223333:role/web"

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
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
  ])
}
