# The roles without AWS. What their policies allow is for tests/platform/iam, which takes them from
# these very runs: so the environment is the laptop's, whose services are put behind the policies.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  override_resource {
    target = aws_iam_role.producer
    values = { arn = "arn:aws:iam::000000000000:role/local-tenantry-producer" }
  }
  override_resource {
    target = aws_iam_role.consumer
    values = { arn = "arn:aws:iam::000000000000:role/local-tenantry-consumer" }
  }
  override_resource {
    target = aws_iam_role.pool_producer
    values = { arn = "arn:aws:iam::000000000000:role/local-tenantry-pool-producer" }
  }
  override_resource {
    target = aws_iam_role.pool_consumer
    values = { arn = "arn:aws:iam::000000000000:role/local-tenantry-pool-consumer" }
  }
  override_resource {
    target = aws_iam_role.tenant_reader
    values = { arn = "arn:aws:iam::000000000000:role/local-tenantry-tenant-reader" }
  }
  override_resource {
    target = aws_iam_role.tf_runner
    values = { arn = "arn:aws:iam::000000000000:role/local-tenantry-tf-runner" }
  }
}

variables {
  environment  = "local"
  cluster_name = "laptop"
}

run "roles" {
  assert {
    condition     = output.roles["pool-consumer"] == "arn:aws:iam::000000000000:role/local-tenantry-pool-consumer"
    error_message = "Each role's ARN is told by the role's name."
  }
  assert {
    condition = alltrue([
      for role in [aws_iam_role.producer, aws_iam_role.consumer, aws_iam_role.pool_producer, aws_iam_role.pool_consumer, aws_iam_role.tenant_reader, aws_iam_role.tf_runner] :
      role.tags["tenantry:environment"] == "local"
    ])
    error_message = "Every role says its environment."
  }
  assert {
    condition = (
      aws_eks_pod_identity_association.tf_runner.cluster_name == "laptop" &&
      aws_eks_pod_identity_association.tf_runner.namespace == "tenant-infra" &&
      aws_eks_pod_identity_association.tf_runner.service_account == "tf-runner"
    )
    error_message = "The runner's account has its role from the start: nobody else could give it."
  }
}

# Role names and policies have lengths that AWS bounds.
run "longest" {
  variables {
    environment  = "eeeeeeeeeeeeeeeeeeee"
    cluster_name = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
    tags         = { team = "payments" }
  }
  assert {
    condition     = length(aws_iam_role.pool_consumer.name) <= 64
    error_message = "IAM takes 64 characters."
  }
  assert {
    condition     = aws_iam_role.pool_consumer.tags == tomap({ team = "payments", "tenantry:environment" = "eeeeeeeeeeeeeeeeeeee" })
    error_message = "The caller's tags stand beside the module's."
  }
}

run "what_is_none" {
  command         = plan
  expect_failures = [var.environment, var.cluster_name, var.tags]
  variables {
    environment  = "dev-2"
    cluster_name = "dev*"
    tags         = { "Tenantry:environment" = "production" }
  }
}

run "an_environment_that_is_too_long" {
  command         = plan
  expect_failures = [var.environment]
  variables {
    environment = "eeeeeeeeeeeeeeeeeeeee"
  }
}
