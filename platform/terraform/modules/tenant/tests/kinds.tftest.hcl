# What each kind of instance gets, also while it moves; which move builds what is held by
# tests/platform/terraform, for all of them. The provider is mocked: there is no account.
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

run "a_premium_tenant_has_everything_of_its_own" {
  variables {
    instance           = { id = "acme", tier = "premium" }
    visibility_seconds = 45
    tags               = { cost-centre = "4711" }
  }

  assert {
    condition     = aws_sqs_queue.messages[0].name == "dev-acme-messages" && aws_sqs_queue.dead_letters[0].name == "dev-acme-messages-dead-letters" && aws_dynamodb_table.messages[0].name == "dev-acme-messages"
    error_message = "Names are made from environment and instance."
  }

  assert {
    condition = (
      aws_sqs_queue.messages[0].sqs_managed_sse_enabled
      && aws_sqs_queue.messages[0].receive_wait_time_seconds == 20
      && aws_sqs_queue.messages[0].message_retention_seconds == 4 * 24 * 3600
      && aws_sqs_queue.messages[0].visibility_timeout_seconds == 45
      && aws_sqs_queue.messages[0].max_message_size == 262144
    )
    error_message = "The queue is encrypted, polled long, keeps messages for four days, and has the consumer's visibility timeout."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.messages[0].redrive_policy) == { deadLetterTargetArn = "arn:aws:sqs:eu-central-1:123456789012:mocked", maxReceiveCount = 10 }
    error_message = "After ten receives a message is a dead letter."
  }

  assert {
    condition = (
      aws_sqs_queue.dead_letters[0].sqs_managed_sse_enabled
      && aws_sqs_queue.dead_letters[0].message_retention_seconds == 14 * 24 * 3600
      && aws_sqs_queue.dead_letters[0].max_message_size == 262144
    )
    error_message = "The dead-letter queue is encrypted, keeps messages for fourteen days, and takes the same ones."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.dead_letters[0].redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = ["arn:aws:sqs:eu-central-1:123456789012:dev-acme-messages"] }
    error_message = "Dead letters come from this queue, and no other."
  }

  assert {
    condition = (
      aws_dynamodb_table.messages[0].hash_key == "tenant_id"
      && aws_dynamodb_table.messages[0].range_key == "message_id"
      && alltrue([for attribute in aws_dynamodb_table.messages[0].attribute : attribute.type == "S"])
    )
    error_message = "The table's keys are tenant and message."
  }

  assert {
    condition = (
      aws_dynamodb_table.messages[0].billing_mode == "PAY_PER_REQUEST"
      && aws_dynamodb_table.messages[0].on_demand_throughput[0].max_read_request_units == 12000
      && aws_dynamodb_table.messages[0].on_demand_throughput[0].max_write_request_units == 4000
    )
    error_message = "The table is paid by request, up to a ceiling."
  }

  assert {
    condition = (
      aws_dynamodb_table.messages[0].point_in_time_recovery[0].enabled
      && aws_dynamodb_table.messages[0].deletion_protection_enabled
      && !aws_dynamodb_table.messages[0].ttl[0].enabled
    )
    error_message = "The table can be restored, is protected from deletion, and forgets nothing."
  }

  assert {
    condition = { for service, association in aws_eks_pod_identity_association.services : service => [association.namespace, association.service_account, association.role_arn] } == {
      producer = ["acme", "producer", "arn:aws:iam::123456789012:role/dev-tenantry-producer"]
      consumer = ["acme", "consumer", "arn:aws:iam::123456789012:role/dev-tenantry-consumer"]
    }
    error_message = "Both service accounts of the own namespace get the environment's roles."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.oldest_message[0].threshold == 24 * 3600
      && aws_cloudwatch_metric_alarm.oldest_message[0].metric_name == "ApproximateAgeOfOldestMessage"
      && aws_cloudwatch_metric_alarm.oldest_message[0].dimensions == tomap({ QueueName = "dev-acme-messages" })
    )
    error_message = "A message that waits for a quarter of the queue's retention alarms."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.dead_letters[0].threshold == 0
      && aws_cloudwatch_metric_alarm.dead_letters[0].metric_name == "ApproximateNumberOfMessagesVisible"
      && aws_cloudwatch_metric_alarm.dead_letters[0].dimensions == tomap({ QueueName = "dev-acme-messages-dead-letters" })
    )
    error_message = "Any dead letter alarms."
  }

  assert {
    condition = alltrue([
      for tags in [
        aws_sqs_queue.messages[0].tags, aws_sqs_queue.dead_letters[0].tags, aws_dynamodb_table.messages[0].tags,
        aws_cloudwatch_metric_alarm.oldest_message[0].tags, aws_cloudwatch_metric_alarm.dead_letters[0].tags,
      ] :
      tags == tomap({
        "cost-centre"                 = "4711"
        "tenantry:environment"        = "dev"
        "tenantry:tenant"             = "acme"
        "tenantry:tier"               = "premium"
        "tenantry:producer-namespace" = "acme"
        "tenantry:consumer-namespace" = "acme"
      })
    ])
    error_message = "Tags say whose each resource is, and who may use it."
  }

  assert {
    condition     = alltrue([for service, association in aws_eks_pod_identity_association.services : association.tags["tenantry:service-account"] == service])
    error_message = "An association says its service account, by which it is found again."
  }

  assert {
    condition     = output.queue_url == "https://sqs.example.com/mocked" && output.dead_letter_queue_url == "https://sqs.example.com/mocked" && output.table_name == "dev-acme-messages"
    error_message = "The outputs are what a placement needs."
  }
}

run "an_advanced_tenant_sends_from_its_pool" {
  variables {
    instance      = { id = "umbra", tier = "advanced", pool = "pool-1" }
    table_ceiling = { write_units = 1000 }
  }

  assert {
    condition     = keys(aws_eks_pod_identity_association.services) == ["consumer"] && aws_eks_pod_identity_association.services["consumer"].role_arn == "arn:aws:iam::123456789012:role/dev-tenantry-consumer"
    error_message = "Only the consumer is its own."
  }

  assert {
    condition = aws_dynamodb_table.messages[0].tags == tomap({
      "tenantry:environment"        = "dev"
      "tenantry:tenant"             = "umbra"
      "tenantry:tier"               = "advanced"
      "tenantry:pool"               = "pool-1"
      "tenantry:producer-namespace" = "pool-1"
      "tenantry:consumer-namespace" = "umbra"
    })
    error_message = "The pool sends, the own namespace receives."
  }

  assert {
    condition     = aws_dynamodb_table.messages[0].on_demand_throughput[0].max_write_request_units == 1000 && aws_dynamodb_table.messages[0].on_demand_throughput[0].max_read_request_units == 12000
    error_message = "Each side of the ceiling can be set alone."
  }
}

run "a_pool_is_used_with_the_roles_of_pools" {
  variables {
    instance = { id = "pool-1", kind = "pool" }
  }

  assert {
    condition = { for service, association in aws_eks_pod_identity_association.services : service => [association.namespace, association.role_arn] } == {
      producer = ["pool-1", "arn:aws:iam::123456789012:role/dev-tenantry-pool-producer"]
      consumer = ["pool-1", "arn:aws:iam::123456789012:role/dev-tenantry-pool-consumer"]
    }
    error_message = "Its roles may not do what a dedicated tenant's may."
  }

  assert {
    condition = aws_sqs_queue.messages[0].tags == tomap({
      "tenantry:environment"        = "dev"
      "tenantry:tier"               = "basic"
      "tenantry:pool"               = "pool-1"
      "tenantry:producer-namespace" = "pool-1"
      "tenantry:consumer-namespace" = "pool-1"
    })
    error_message = "It is of no tenant."
  }
}

run "an_instance_that_is_offboarded_can_be_destroyed" {
  variables {
    instance = { id = "pool-1", kind = "pool", phase = "offboarding" }
  }

  assert {
    condition     = !aws_dynamodb_table.messages[0].deletion_protection_enabled && length(aws_sqs_queue.messages) == 1
    error_message = "All is there, and the table no longer protected."
  }
}

run "a_basic_tenant_gets_its_own_place_before_it_moves" {
  variables {
    instance = { id = "nova", tier = "premium", transition = { from = { tier = "basic", pool = "pool-1" }, phase = "provisioning" } }
  }

  assert {
    condition     = length(aws_sqs_queue.messages) == 1 && keys(aws_eks_pod_identity_association.services) == ["consumer", "producer"]
    error_message = "Queue, table and both associations are there."
  }

  assert {
    condition     = aws_dynamodb_table.messages[0].deletion_protection_enabled
    error_message = "The table is protected from the first moment on."
  }
}

run "a_tenant_that_returns_to_its_pool_is_read_there_while_it_moves" {
  command = plan

  variables {
    instance = { id = "nova", tier = "basic", pool = "pool-1", transition = { from = { tier = "premium" }, phase = "draining" } }
  }

  assert {
    condition     = length(aws_dynamodb_table.messages) == 1 && aws_dynamodb_table.messages[0].deletion_protection_enabled
    error_message = "What it leaves is there, and protected."
  }

  assert {
    condition     = aws_dynamodb_table.messages[0].tags["tenantry:moving-to"] == "pool-1"
    error_message = "The table says which pool may read on the tenant's behalf."
  }
}

run "the_last_phase_removes_what_was_left" {
  variables {
    instance = { id = "nova", tier = "basic", pool = "pool-1", transition = { from = { tier = "premium" }, phase = "removing" } }
  }

  assert {
    condition     = length(aws_sqs_queue.messages) + length(aws_sqs_queue.dead_letters) + length(aws_dynamodb_table.messages) == 0
    error_message = "No queue and no table stays."
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.services) + length(aws_cloudwatch_metric_alarm.dead_letters) + length(aws_cloudwatch_metric_alarm.oldest_message) == 0
    error_message = "No association and no alarm stays."
  }

  assert {
    condition     = output.queue_url == null && output.dead_letter_queue_url == null && output.table_name == null
    error_message = "There is nothing to tell a placement."
  }
}
