# Plans that are refused for what is there already. The provider is mocked; that the words reach the
# reader is held by tests/platform/terraform, which see them.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:123456789012:mocked", url = "https://sqs.example.com/mocked" }
  }
  mock_data "aws_dynamodb_table" {
    defaults = {
      deletion_protection_enabled = true
      tags = {
        "tenantry:environment"        = "dev"
        "tenantry:tenant"             = "acme"
        "tenantry:tier"               = "advanced"
        "tenantry:pool"               = "pool-1"
        "tenantry:producer-namespace" = "pool-1"
        "tenantry:consumer-namespace" = "acme"
      }
    }
  }
}

variables {
  environment  = "dev"
  cluster_name = "dev"
  roles = {
    producer      = "arn:aws:iam::123456789012:role/dev-tenantry-producer"
    consumer      = "arn:aws:iam::123456789012:role/dev-tenantry-consumer"
    pool-producer = "arn:aws:iam::123456789012:role/dev-tenantry-pool-producer"
    pool-consumer = "arn:aws:iam::123456789012:role/dev-tenantry-pool-consumer"
  }
}

# Made first, so that later runs find it in the state: a mocked provider cannot import.
run "setup" {
  variables {
    instance = { id = "acme", tier = "advanced", pool = "pool-1" }
  }
}

run "nothing_changes_where_nothing_changed" {
  command = plan

  variables {
    instance = { id = "acme", tier = "advanced", pool = "pool-1" }
  }

  override_data {
    target = data.aws_dynamodb_tables.all
    values = { names = ["dev-acme-messages", "dev-other-messages"] }
  }

  assert {
    condition     = length(data.aws_dynamodb_table.existing) == 1
    error_message = "The table is seen."
  }
}

run "a_tier_that_changes_without_a_transition" {
  command = plan

  variables {
    instance = { id = "acme", tier = "premium" }
  }

  override_data {
    target = data.aws_dynamodb_tables.all
    values = { names = ["dev-acme-messages"] }
  }

  expect_failures = [data.aws_dynamodb_table.existing]
}

run "a_pool_that_changes_without_a_transition" {
  command = plan

  variables {
    instance = { id = "acme", tier = "advanced", pool = "pool-2" }
  }

  override_data {
    target = data.aws_dynamodb_tables.all
    values = { names = ["dev-acme-messages"] }
  }

  expect_failures = [data.aws_dynamodb_table.existing]
}

run "a_transition_from_where_the_tenant_is_not" {
  command = plan

  variables {
    instance = { id = "acme", tier = "premium", transition = { from = { tier = "basic", pool = "pool-1" }, phase = "copying" } }
  }

  override_data {
    target = data.aws_dynamodb_tables.all
    values = { names = ["dev-acme-messages"] }
  }

  expect_failures = [data.aws_dynamodb_table.existing]
}

run "a_protected_table_in_the_last_phase" {
  command = plan

  variables {
    instance = { id = "acme", tier = "basic", pool = "pool-1", transition = { from = { tier = "advanced", pool = "pool-1" }, phase = "removing" } }
  }

  override_data {
    target = data.aws_dynamodb_tables.all
    values = { names = ["dev-acme-messages"] }
  }

  expect_failures = [data.aws_dynamodb_table.existing]
}

run "a_table_of_somebody_else" {
  command = plan

  variables {
    instance = { id = "acme", tier = "advanced", pool = "pool-1" }
  }

  override_data {
    target = data.aws_dynamodb_tables.all
    values = { names = ["dev-acme-messages"] }
  }

  override_data {
    target = data.aws_dynamodb_table.existing
    values = { tags = { owner = "somebody" } }
  }

  expect_failures = [data.aws_dynamodb_table.existing]
}

run "a_queue_of_somebody_else" {
  command = plan

  variables {
    instance = { id = "acme", tier = "advanced", pool = "pool-1" }
  }

  override_data {
    target = data.aws_sqs_queues.named
    values = { queue_urls = ["https://sqs.example.com/123456789012/dev-acme-messages"] }
  }

  expect_failures = [data.aws_sqs_queue.existing]
}

run "a_table_without_protection_in_the_last_phase_goes" {
  command = plan

  variables {
    instance = { id = "acme", tier = "basic", pool = "pool-1", transition = { from = { tier = "advanced", pool = "pool-1" }, phase = "removing" } }
  }

  override_data {
    target = data.aws_dynamodb_tables.all
    values = { names = ["dev-acme-messages"] }
  }

  override_data {
    target = data.aws_dynamodb_table.existing
    values = {
      deletion_protection_enabled = false
      tags                        = { "tenantry:environment" = "dev", "tenantry:consumer-namespace" = "acme", "tenantry:tier" = "advanced", "tenantry:pool" = "pool-1" }
    }
  }

  assert {
    condition     = length(aws_dynamodb_table.messages) == 0
    error_message = "It goes."
  }
}

run "a_message_that_the_provider_makes_no_queue_for" {
  command = plan

  variables {
    instance          = { id = "acme", tier = "advanced", pool = "pool-1" }
    max_message_bytes = 262145
  }

  expect_failures = [aws_sqs_queue.dead_letters]
}
