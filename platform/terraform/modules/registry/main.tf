# Where a release lies: images, the tenants' chart and module, what runs that module. A tag that is
# pushed stays what it was; tenants are given digests.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.id

  # The chart and Flux's sources name them so, below the prefix.
  repositories = {
    producer        = "Image of the producer"
    consumer        = "Image of the consumer"
    tenantctl       = "Image of the control plane's command line"
    tf-runner       = "Image that runs the tenants' Terraform"
    tenant-template = "Chart that every tenant and pool is an instance of"
    tenant-module   = "Terraform module of tenants and pools, as Flux's artifact"
  }
}

resource "aws_ecr_repository" "this" {
  for_each = local.repositories

  name                 = "${var.prefix}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  tags                 = { Name = each.value }

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.registry.arn
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name

  # What has a released version's tag matches no rule and stays: tenants name it by digest, and may do
  # so for years. No rule is about what has no tag, either: a signature has none, and without it
  # nobody takes what it signs. When ECR expires an image, it removes what refers to it by itself.
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Builds between releases, 1.2.3-dev.4: the newest stay"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["*-dev.*"]
          countType      = "imageCountMoreThan"
          countNumber    = var.development_builds
        }
        action = { type = "expire" }
      },
    ]
  })
}

resource "aws_ecr_repository_policy" "readers" {
  # Within the account, roles say for themselves what they read.
  for_each = length(var.reader_accounts) > 0 ? aws_ecr_repository.this : {}

  repository = each.value.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EnvironmentsElsewhere"
      Effect    = "Allow"
      Principal = { AWS = [for account in sort(var.reader_accounts) : "arn:${local.partition}:iam::${account}:root"] }
      # ListImages: Flux looks for newer versions.
      Action = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"]
    }]
  })
}
