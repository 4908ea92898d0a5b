"""A template, a manifest and a Compose file as people have them, and what becomes of one."""

from stand_in_ecs import IMAGE

from outrider_cdk.editing import Document, edited, read_document
from outrider_cdk.rewriting import GuardOptions
from outrider_cdk.templates import Plan, Wish, plan_document

GUARD = Wish(options=GuardOptions(image=IMAGE, collector_url="https://collector.example:8440"))
REMOVE = Wish(options=None)

TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::LanguageExtensions
Resources:
  # What the shop runs.
  Web:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: !Sub "${AWS::StackName}-web"
      Cpu: "256"
      Memory: 512  # MiB
      NetworkMode: awsvpc
      PidMode: !Ref AWS::NoValue
      RequiresCompatibilities: [FARGATE]
      ExecutionRoleArn: !GetAtt Execution.Arn
      TaskRoleArn: !GetAtt Role.Arn
      ContainerDefinitions:
        - Name: web
          Image: !Sub "${Registry}/web:1"
          LogConfiguration:
            LogDriver: awslogs
            Options: {awslogs-group: !Ref Logs, awslogs-region: !Ref AWS::Region, awslogs-stream-prefix: web}
  Batch:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Tags: [{Key: OutriderManaged, Value: "false"}]
      ContainerDefinitions: [{Name: batch, Image: batch}]
  Fn::ForEach::Workers:
    - Name
    - [a, b]
    - Worker${Name}:
        Type: AWS::ECS::TaskDefinition
        Properties:
          RequiresCompatibilities: [EC2]
          ContainerDefinitions:
            - {Name: worker, Image: worker, Memory: 64}
  Service:
    Type: AWS::ECS::Service
    Properties:
      TaskDefinition: !Ref Web
      EnableExecuteCommand: true
  Nested:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: "https://example/x"}
"""

MANIFEST = """\
# The manifest for the shop.
name: shop
type: Load Balanced Web Service

image:
  build: Dockerfile   # built here
  port: 80
cpu: 256
memory: 512
sidecars:
  nginx: {port: 80, image: nginx}
environments:
  prod:
    taskdef_overrides:
    - path: ContainerDefinitions[0].Cpu
      value: 512
"""

COMPOSE = """\
services:
  app:
    image: shop/app   # ours
    profiles: [web]
  worker:
    build: .
    pid: service:app
  db:
    image: postgres:17
    labels: {OutriderManaged: "false"}

volumes:
  data:
"""


def planned(text: str, wish: Wish = GUARD, name: str = "x.yaml") -> tuple[Document, Plan, Document]:
    """The document, the plan, and the document as it becomes."""
    document = read_document(text.encode(), name)
    plan = plan_document(document.value, wish)
    return document, plan, edited(document, plan.edits)
