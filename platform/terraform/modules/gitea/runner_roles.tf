# What runners may do. `ci` is without a role when it takes its job; `release` has its own for as long
# as it lives, and nobody logs in there: whoever could would sign, whatever the key's policy says.

locals {
  runner_may = {
    ci = [
      {
        Sid      = "FindItsProfile"
        Effect   = "Allow"
        Action   = "ec2:DescribeIamInstanceProfileAssociations"
        Resource = "*"
      },
      {
        Sid       = "GiveRoleAndMetadataAway"
        Effect    = "Allow"
        Action    = ["ec2:DisassociateIamInstanceProfile", "ec2:ModifyInstanceMetadataOptions"]
        Resource  = "${local.ec2}:instance/*"
        Condition = { StringEquals = { "aws:ResourceTag/tenantry:runner" = "${var.name}-ci" } }
      },
    ]
    release = [
      {
        Sid      = "LogInToTheRegistry"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        # Nothing is deleted, and a tag that is there cannot be moved. BatchGetImage is for what is
        # signed already, too.
        Sid    = "Push"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability",
          "ecr:BatchGetImage",
          "ecr:CompleteLayerUpload",
          "ecr:GetDownloadUrlForLayer",
          "ecr:InitiateLayerUpload",
          "ecr:PutImage",
          "ecr:UploadLayerPart",
        ]
        Resource = var.publishes.repository_arns
      },
      {
        Sid      = "Sign"
        Effect   = "Allow"
        Action   = ["kms:DescribeKey", "kms:GetPublicKey", "kms:Sign"]
        Resource = var.publishes.signing_key_arn
      },
    ]
  }
}

resource "aws_iam_role" "runner" {
  for_each = {
    ci      = "Takes its registration, and gives this role away before its job."
    release = "Builds, pushes and signs releases."
  }

  name               = "${var.name}-tenantry-runner-${each.key}"
  description        = each.value
  assume_role_policy = local.trust_ec2
}

resource "aws_iam_role_policy" "runner" {
  for_each = aws_iam_role.runner

  name = "access"
  role = each.value.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Register"
          Effect   = "Allow"
          Action   = "secretsmanager:GetSecretValue"
          Resource = local.secret_arns["runner-${each.key}"]
        },
        {
          Sid      = "DecryptTheToken"
          Effect   = "Allow"
          Action   = "kms:Decrypt"
          Resource = aws_kms_key.gitea.arn
        },
      ],
      # By JSON: the two lists are of different types.
      jsondecode(each.key == "ci" ? jsonencode(local.runner_may.ci) : jsonencode(local.runner_may.release)),
    )
  })
}

resource "aws_iam_instance_profile" "runner" {
  for_each = aws_iam_role.runner

  name = each.value.name
  role = each.value.name
}
