# What runs the tenants' Terraform: queues, tables, alarms and Pod Identity associations, within the
# environment's names and tags. It makes no role and no policy, and sees no message.

locals {
  alarms       = "${local.arn.cloudwatch}:alarm:${var.environment}-*-messages-*"
  associations = "${local.arn.eks}:podidentityassociation/${var.cluster_name}/*"
  instances    = [local.queues, local.dead_letters, local.tables, local.alarms, local.associations]

  # What an instance's associations hand to its pods.
  handed = [
    aws_iam_role.producer.arn,
    aws_iam_role.consumer.arn,
    aws_iam_role.pool_producer.arn,
    aws_iam_role.pool_consumer.arn,
  ]

  for_this_environment = { "aws:RequestTag/tenantry:environment" = var.environment }

  # All that it may, and all that another policy can open to it.
  runner_may = [
    {
      # By name alone: what is not there has no tags, and must be seen not to be there.
      Sid    = "See"
      Effect = "Allow"
      Action = [
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ListQueueTags",
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:ListTagsOfResource",
        "cloudwatch:ListTagsForResource",
        "eks:DescribePodIdentityAssociation",
      ]
      Resource = local.instances
    },
    {
      # What a lost state left behind is found by lists: of names and tags, not of what they hold.
      Sid      = "SeeLists"
      Effect   = "Allow"
      Action   = ["sqs:ListQueues", "dynamodb:ListTables", "tag:GetResources"]
      Resource = "*"
    },
    {
      # It answers for several at once, and so is asked for all.
      Sid      = "SeeAlarms"
      Effect   = "Allow"
      Action   = "cloudwatch:DescribeAlarms"
      Resource = "${local.arn.cloudwatch}:alarm:*"
    },
    {
      Sid      = "MakeQueuesAndTables"
      Effect   = "Allow"
      Action   = ["sqs:CreateQueue", "dynamodb:CreateTable"]
      Resource = [local.queues, local.dead_letters, local.tables]
      Condition = {
        StringEquals = local.for_this_environment
      }
    },
    {
      Sid      = "MakeAssociations"
      Effect   = "Allow"
      Action   = "eks:CreatePodIdentityAssociation"
      Resource = local.cluster
      Condition = {
        StringEquals = local.for_this_environment
      }
    },
    {
      # To make with tags is authorised twice, to make and to tag. What is there already and belongs
      # to the environment is not made: an alarm would be replaced, an association taken over.
      Sid      = "TagWhatIsMade"
      Effect   = "Allow"
      Action   = ["sqs:TagQueue", "dynamodb:TagResource", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "eks:TagResource"]
      Resource = local.instances
      Condition = {
        StringEquals = local.for_this_environment
        Null         = { "aws:ResourceTag/tenantry:environment" = "true" }
      }
    },
    {
      Sid    = "ChangeAndRemove"
      Effect = "Allow"
      Action = [
        "sqs:DeleteQueue",
        "sqs:SetQueueAttributes",
        "sqs:TagQueue",
        "sqs:UntagQueue",
        "dynamodb:DeleteTable",
        "dynamodb:TagResource",
        "dynamodb:UntagResource",
        "dynamodb:UpdateContinuousBackups",
        "dynamodb:UpdateTable",
        "cloudwatch:DeleteAlarms",
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
        "eks:DeletePodIdentityAssociation",
        "eks:TagResource",
        "eks:UntagResource",
        "eks:UpdatePodIdentityAssociation",
      ]
      Resource = local.instances
      Condition = {
        StringEquals = local.in_environment
        # Every resource of an instance says its tier; the environment's own say none.
        Null = { "aws:ResourceTag/tenantry:tier" = "false" }
      }
    },
    {
      Sid      = "HandRolesToPods"
      Effect   = "Allow"
      Action   = "iam:PassRole"
      Resource = local.handed
      Condition = {
        StringEquals = { "iam:PassedToService" = "pods.eks.amazonaws.com" }
      }
    },
    {
      # EKS looks at the trust of a role that it is handed. Its guide asks for iam:PassRole alone;
      # CloudFormation's AWS::EKS::PodIdentityAssociation, and Amazon's own policies, for both.
      Sid      = "SeeRolesThatAreHanded"
      Effect   = "Allow"
      Action   = "iam:GetRole"
      Resource = local.handed
    },
  ]
}

resource "aws_iam_role" "tf_runner" {
  name                 = local.role_names["tf-runner"]
  description          = "Runs the tenant module for every instance of the environment."
  assume_role_policy   = local.trusts["tf-runner"]
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary
}

resource "aws_eks_pod_identity_association" "tf_runner" {
  cluster_name    = var.cluster_name
  namespace       = "tenant-infra"
  service_account = "tf-runner"
  role_arn        = aws_iam_role.tf_runner.arn
  tags            = local.tags
}

resource "aws_iam_role_policy" "tf_runner" {
  name = "access"
  role = aws_iam_role.tf_runner.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([local.only_this_cluster], local.runner_may, [
      {
        # Without these nobody is let in, or nobody knows whose it is.
        Sid      = "TagsThatGrantStay"
        Effect   = "Deny"
        Action   = ["sqs:UntagQueue", "dynamodb:UntagResource", "cloudwatch:UntagResource", "eks:UntagResource"]
        Resource = "*"
        Condition = {
          # A condition looks a tag up in any case.
          "ForAnyValue:StringEqualsIgnoreCase" = {
            "aws:TagKeys" = ["tenantry:environment", "tenantry:producer-namespace", "tenantry:consumer-namespace", "tenantry:tier"]
          }
        }
      },
      {
        Sid      = "NothingGoesToAnotherEnvironment"
        Effect   = "Deny"
        Action   = ["sqs:TagQueue", "dynamodb:TagResource", "cloudwatch:TagResource", "eks:TagResource"]
        Resource = "*"
        Condition = {
          StringNotEquals = local.for_this_environment
          Null            = { "aws:RequestTag/tenantry:environment" = "false" }
        }
      },
      {
        # It writes queues' own policies, and within an account such a policy opens by itself. What
        # is denied here no queue's policy opens to it: of messages and items, all.
        Sid       = "NothingElseByAnyPolicy"
        Effect    = "Deny"
        NotAction = distinct(flatten([for statement in local.runner_may : statement.Action]))
        Resource  = "*"
      },
    ])
  })
}
