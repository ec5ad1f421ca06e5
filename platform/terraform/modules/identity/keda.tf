# KEDA counts what waits on instances' queues, and scales their consumers by it.

locals {
  keda = {
    addon       = "keda"
    description = "Counts the messages of instances' queues."
    namespace   = "keda"
    accounts    = ["keda-operator"]
    statements = jsonencode([{
      Sid       = "CountMessages"
      Effect    = "Allow"
      Action    = "sqs:GetQueueAttributes"
      Resource  = local.queues
      Condition = { StringEquals = local.in_environment }
    }])
  }
}
