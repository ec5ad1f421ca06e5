# What takes requests off the control queues. Those that it does not understand SQS moves to their
# dead letters, which it does not see.

locals {
  argo_events = {
    addon       = "argo-events"
    description = "Receives the requests of the control queues."
    namespace   = "argo-control"
    accounts    = ["source"]
    statements = jsonencode([{
      Sid      = "ReceiveRequests"
      Effect   = "Allow"
      Action   = ["sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage"]
      Resource = sort(values(var.control_queue_arns))
    }])
  }
}
