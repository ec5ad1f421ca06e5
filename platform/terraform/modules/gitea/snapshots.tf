# Copies of the data volume, made and removed by Data Lifecycle Manager.

resource "aws_iam_role" "snapshots" {
  name        = "${var.name}-tenantry-gitea-snapshots"
  description = "Makes snapshots of Gitea's data volume, and removes the oldest."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "LifecycleManagerOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "dlm.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "snapshots" {
  name = "access"
  role = aws_iam_role.snapshots.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Action   = ["ec2:DescribeInstances", "ec2:DescribeSnapshots", "ec2:DescribeVolumes"]
        Resource = "*"
      },
      {
        Sid       = "OfTheDataVolume"
        Effect    = "Allow"
        Action    = "ec2:CreateSnapshot"
        Resource  = "${local.ec2}:volume/*"
        Condition = { StringEquals = { "aws:ResourceTag/tenantry:snapshots" = "${var.name}-gitea" } }
      },
      {
        # Snapshots belong to no account in their ARNs. Of which volume they are is decided above.
        Sid      = "MakeThem"
        Effect   = "Allow"
        Action   = "ec2:CreateSnapshot"
        Resource = "arn:${local.partition}:ec2:${local.region}::snapshot/*"
      },
      {
        # AWS does not say whether Lifecycle Manager tags with the snapshot or after it, and in how many
        # calls; its own policy (AWSDataLifecycleManagerServiceRole) allows any tag. So a call need not
        # name this tag; but it gives no other value, and is about nothing of anybody else's.
        Sid      = "ThatSayWhatTheyAreOf"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = "arn:${local.partition}:ec2:${local.region}::snapshot/*"
        Condition = {
          StringEqualsIfExists = {
            "aws:RequestTag/tenantry:snapshots"  = "${var.name}-gitea"
            "aws:ResourceTag/tenantry:snapshots" = "${var.name}-gitea"
          }
        }
      },
      {
        Sid       = "RemoveTheOldest"
        Effect    = "Allow"
        Action    = "ec2:DeleteSnapshot"
        Resource  = "arn:${local.partition}:ec2:${local.region}::snapshot/*"
        Condition = { StringEquals = { "aws:ResourceTag/tenantry:snapshots" = "${var.name}-gitea" } }
      },
    ]
  })
}

resource "aws_dlm_lifecycle_policy" "data" {
  description        = "Gitea data volume of ${var.name}"
  execution_role_arn = aws_iam_role.snapshots.arn
  state              = "ENABLED"

  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { "tenantry:snapshots" = "${var.name}-gitea" }

    schedule {
      name      = "every ${var.snapshots.hours} hours"
      copy_tags = true

      create_rule {
        interval      = var.snapshots.hours
        interval_unit = "HOURS"
        times         = ["01:00"]
      }
      retain_rule {
        count = var.snapshots.kept
      }
    }
  }
}
