# external-secrets brings the environment's secrets into the cluster: those whose names begin with
# its own, encrypted with the account's key for Secrets Manager.

locals {
  external_secrets = {
    addon       = "external-secrets"
    description = "Reads the environment's secrets."
    namespace   = "external-secrets"
    accounts    = ["external-secrets"]
    statements = jsonencode([{
      Sid      = "ReadSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
      Resource = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.environment}/*"
    }])
  }
}
