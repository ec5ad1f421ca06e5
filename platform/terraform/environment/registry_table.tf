# The table of all placements. Its items have one writer, tenantctl, which is not Terraform.
resource "aws_dynamodb_table" "registry" {
  name                        = "${var.environment}-tenants"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "tenant_id"
  deletion_protection_enabled = var.protected

  attribute {
    name = "tenant_id"
    type = "S"
  }

  # Any second of the last 35 days. Git has what should be in it; who wrote what when is here.
  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }

  # The table guards all the rest. What depends on others is destroyed before them, and AWS destroys
  # no protected table: a destroy of a protected environment removes nothing.
  depends_on = [
    module.cluster,
    module.identity,
    module.network,
    aws_budgets_budget.monthly,
    aws_cloudwatch_event_bus.outcomes,
    aws_cloudwatch_event_target.alarms,
    aws_cloudwatch_event_target.interruptions,
    aws_cloudwatch_metric_alarm.control_dead_letters,
    aws_kms_alias.alerts,
    aws_kms_alias.state_copies,
    aws_route.workstation_to_shared,
    aws_s3_bucket_lifecycle_configuration.state_copies,
    aws_s3_bucket_policy.exports,
    aws_s3_bucket_policy.state_copies,
    aws_s3_bucket_server_side_encryption_configuration.exports,
    aws_s3_bucket_server_side_encryption_configuration.state_copies,
    aws_s3_bucket_versioning.exports,
    aws_s3_bucket_versioning.state_copies,
    aws_sns_topic_subscription.alerts,
    aws_sqs_queue.control,
  ]
}
