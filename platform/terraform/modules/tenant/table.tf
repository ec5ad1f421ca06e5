resource "aws_dynamodb_table" "messages" {
  count = local.is_built ? 1 : 0

  name                        = local.names.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "tenant_id"
  range_key                   = "message_id"
  deletion_protection_enabled = var.instance.phase != "offboarding"
  tags                        = local.tags

  attribute {
    name = "tenant_id"
    type = "S"
  }

  attribute {
    name = "message_id"
    type = "S"
  }

  on_demand_throughput {
    max_read_request_units  = var.table_ceiling.read_units
    max_write_request_units = var.table_ceiling.write_units
  }

  point_in_time_recovery {
    enabled = true
  }

  # Off: a dead letter that is redriven after its item expired would be stored twice.
  ttl {
    enabled = false
  }

  # The table guards all the rest. What depends on others is destroyed before them, and AWS
  # destroys no protected table: a destroy in any phase but `offboarding` removes nothing.
  depends_on = [
    aws_cloudwatch_metric_alarm.dead_letters,
    aws_cloudwatch_metric_alarm.oldest_message,
    aws_eks_pod_identity_association.services,
    aws_sqs_queue.messages,
  ]
}
