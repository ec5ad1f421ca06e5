# The repositories without AWS.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:000000000000:key/11111111-2222-3333-4444-555555555555" }
  }
}

variables {
  prefix             = "tenantry"
  development_builds = 500
}

run "one_account" {
  assert {
    condition     = toset(keys(aws_ecr_repository.this)) == toset(["consumer", "producer", "tenant-module", "tenant-template", "tenantctl", "tf-runner"])
    error_message = "One repository for each thing that a release is made of."
  }
  assert {
    condition     = alltrue([for name, repository in aws_ecr_repository.this : repository.name == "tenantry/${name}"])
    error_message = "Below the prefix, as the chart and Flux's sources say."
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE"])
    error_message = "A tag stays what it was."
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_scanning_configuration[0].scan_on_push])
    error_message = "All that is pushed is scanned."
  }
  assert {
    condition = alltrue([
      for repository in aws_ecr_repository.this :
      one(repository.encryption_configuration).encryption_type == "KMS" && one(repository.encryption_configuration).kms_key == aws_kms_key.registry.arn
    ])
    error_message = "Encrypted with the registry's own key."
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.force_delete != true])
    error_message = "A repository that holds something is not destroyed."
  }
  assert {
    condition     = length(aws_ecr_repository_policy.readers) == 0
    error_message = "Nobody else's account reads, unless it is named."
  }
  assert {
    condition     = output.repository_arns["tf-runner"] == "arn:aws:ecr:eu-central-1:000000000000:repository/tenantry/tf-runner" && output.address == "000000000000.dkr.ecr.eu-central-1.amazonaws.com"
    error_message = "Who pushes is told where."
  }
}

run "what_is_released_stays" {
  command = plan
  assert {
    condition = alltrue([
      for policy in aws_ecr_lifecycle_policy.this : alltrue([
        for rule in jsondecode(policy.policy).rules :
        rule.selection.tagStatus == "tagged" && rule.selection.tagPatternList == ["*-dev.*"]
      ])
    ])
    error_message = "No rule is about the tag of a release, or about what has none: signatures."
  }
  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this["producer"].policy).rules : rule.selection.countNumber] == [500]
    error_message = "As many as is said."
  }
}

run "environments_elsewhere" {
  variables {
    reader_accounts = ["222222222222", "111111111111"]
  }
  assert {
    condition     = length(aws_ecr_repository_policy.readers) == 6
    error_message = "They read every repository."
  }
  assert {
    condition = jsondecode(aws_ecr_repository_policy.readers["producer"].policy).Statement[0].Principal.AWS == [
      "arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root",
    ]
    error_message = "Those that are named, and no other."
  }
}

run "what_is_none" {
  command         = plan
  expect_failures = [var.prefix, var.reader_accounts, var.development_builds]
  variables {
    prefix             = "Tenantry/"
    reader_accounts    = ["*"]
    development_builds = 3
  }
}
