"""A CloudFormation template as people have it, with comments and short tags, before it is guarded."""

from typing import Final

from outrider_cdk.editing import edited, read_document
from outrider_cdk.rewriting import GuardOptions
from outrider_cdk.templates import Wish, plan_document

BEFORE: Final = """\
AWSTemplateFormatVersion: "2010-09-09"
Description: A web service on Fargate

Parameters:
  Image: {Type: String}
  Subnets: {Type: "List<AWS::EC2::Subnet::Id>"}
  ExecutionRole: {Type: String}
  TaskRole: {Type: String}
  OutriderImage: {Type: String}
  OutriderCollector: {Type: String}
  OutriderToken: {Type: String, Description: ARN of the secret with the bootstrap token}

Resources:
  Logs:
    Type: AWS::Logs::LogGroup
    DeletionPolicy: Delete
    UpdateReplacePolicy: Delete
    Properties:
      RetentionInDays: 30

  Web:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: web
      RequiresCompatibilities: [FARGATE]
      NetworkMode: awsvpc
      Cpu: "512"      # half a vCPU
      Memory: "1024"
      ExecutionRoleArn: !Ref ExecutionRole
      TaskRoleArn: !Ref TaskRole
      ContainerDefinitions:
        - Name: app
          Image: !Ref Image
          Essential: true
          PortMappings:
            - ContainerPort: 8080
          LogConfiguration:
            LogDriver: awslogs
            Options:
              awslogs-group: !Ref Logs
              awslogs-region: !Ref AWS::Region
              awslogs-stream-prefix: web

  Service:
    Type: AWS::ECS::Service
    Properties:
      LaunchType: FARGATE
      PlatformVersion: 1.4.0
      DesiredCount: 2
      TaskDefinition: !Ref Web
      NetworkConfiguration:
        AwsvpcConfiguration:
          Subnets: !Ref Subnets
"""

OPTIONS: Final = GuardOptions(
    image={"Ref": "OutriderImage"}, collector_url={"Ref": "OutriderCollector"}, token_secret={"Ref": "OutriderToken"}
)


def after() -> str:
    """The same template guarded: everything that was there is there byte for byte."""
    document = read_document(BEFORE.encode(), "before.yaml")
    plan = plan_document(document.value, Wish(options=OPTIONS))
    return edited(document, plan.edits).text
