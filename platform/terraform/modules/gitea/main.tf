# Gitea, and apart from it what runs workflows. What cannot be made anew is on the data volume and in
# its snapshots; every machine here can be replaced at any time.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.id

  ec2 = "arn:${local.partition}:ec2:${local.region}:${local.account}"

  # What machines may be.
  trust_ec2 = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Machines"
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  # Session Manager, and no more of Systems Manager. These actions take no resource, but the second.
  reached_by_sessions = [
    {
      Sid      = "Sessions"
      Effect   = "Allow"
      Action   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
      Resource = "*"
    },
    {
      Sid      = "SayThatItIsThere"
      Effect   = "Allow"
      Action   = "ssm:UpdateInstanceInformation"
      Resource = "${local.ec2}:instance/*"
    },
  ]
}

# By the image's whole name, so that it is the same one until the file says another. After some weeks
# Amazon lists a name as deprecated.
data "aws_ami" "server" {
  owners             = ["amazon"]
  include_deprecated = true

  filter {
    name   = "name"
    values = [var.gitea.image]
  }
}

data "aws_ami" "runner" {
  # The second is Debian's own account, whose images cloud.debian.org lists.
  for_each = { ci = "amazon", release = "136693071363" }

  owners             = [each.value]
  include_deprecated = true

  filter {
    name   = "name"
    values = [local.runners[each.key].image]
  }
}
