# The machine that Gitea runs on. Another version, image or setting is another machine, to which the
# data volume goes over.

locals {
  # No value has a quote in it: the variables' rules see to that.
  server_settings = {
    REGION             = local.region
    DATA_VOLUME        = replace(aws_ebs_volume.data.id, "-", "")
    GITEA_VERSION      = var.gitea.version
    GITEA_SHA256       = var.gitea.sha256
    GITEA_HOST         = var.address.host
    ORGANIZATION       = var.git.organization
    REPOSITORIES       = join(" ", var.git.repositories)
    RELEASE_REPOSITORY = var.git.release
    SECRET_PREFIX      = "${var.name}/gitea"
  }
}

resource "aws_iam_role" "server" {
  name               = "${var.name}-tenantry-gitea"
  description        = "Gitea's machine: fills its secrets, and is reached by Session Manager."
  assume_role_policy = local.trust_ec2
}

resource "aws_iam_role_policy" "server" {
  name = "access"
  role = aws_iam_role.server.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.reached_by_sessions, [
      {
        Sid      = "FillItsSecrets"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
        Resource = values(local.secret_arns)
      },
      {
        Sid      = "EncryptThem"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = aws_kms_key.gitea.arn
      },
    ])
  })
}

resource "aws_iam_instance_profile" "server" {
  name = aws_iam_role.server.name
  role = aws_iam_role.server.name
}

resource "aws_instance" "server" {
  ami                    = data.aws_ami.server.id
  instance_type          = var.gitea.instance_type
  subnet_id              = var.network.server_subnet_id
  vpc_security_group_ids = [aws_security_group.server.id]
  iam_instance_profile   = aws_iam_instance_profile.server.name
  ebs_optimized          = true
  monitoring             = true
  tags                   = { Name = "${var.name}-gitea" }

  user_data = join("\n", concat(
    ["#!/bin/bash", "set -euo pipefail"],
    [for name, value in local.server_settings : "readonly ${name}='${value}'"],
    [file("${path.module}/machines/common.sh"), file("${path.module}/machines/server.sh")],
  ))
  user_data_replace_on_change = true

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    volume_type = "gp3"
    volume_size = 20
    encrypted   = true
  }
}
