# Karpenter starts and ends the cluster's nodes: what it makes says by its tags whose it is, and what
# says otherwise it neither uses nor ends. After the policies that the project gives out for 1.14,
# without what is not used here (reservations, placement groups, zonal shift), and with subnets and
# security groups of this cluster alone.

locals {
  ec2 = "arn:${local.partition}:ec2:${local.region}:${local.account}"
  # What is AWS's own of EC2: its ARNs name no account.
  ec2_public = "arn:${local.partition}:ec2:${local.region}:"

  owned_tag = "kubernetes.io/cluster/${var.cluster_name}"

  # Set on what is made.
  karpenter_makes = {
    StringEquals = {
      "aws:RequestTag/${local.owned_tag}"   = "owned"
      "aws:RequestTag/eks:eks-cluster-name" = var.cluster_name
    }
    StringLike = { "aws:RequestTag/karpenter.sh/nodepool" = "*" }
  }
  # Read of what is there.
  karpenters_own = {
    StringEquals = { "aws:ResourceTag/${local.owned_tag}" = "owned" }
    StringLike   = { "aws:ResourceTag/karpenter.sh/nodepool" = "*" }
  }
  karpenter_started = [
    for kind in ["fleet", "instance", "network-interface", "spot-instances-request", "volume"] :
    "${local.ec2}:${kind}/*"
  ]

  # By path as Karpenter makes them; one that is not there has none, and is looked for by name.
  node_profiles = [
    "arn:${local.partition}:iam::${local.account}:instance-profile/karpenter/${local.region}/${var.cluster_name}/*",
    "arn:${local.partition}:iam::${local.account}:instance-profile/${var.cluster_name}_*",
  ]
  profile_made = {
    "aws:RequestTag/${local.owned_tag}"            = "owned"
    "aws:RequestTag/eks:eks-cluster-name"          = var.cluster_name
    "aws:RequestTag/topology.kubernetes.io/region" = local.region
  }
  profile_there = {
    "aws:ResourceTag/${local.owned_tag}"            = "owned"
    "aws:ResourceTag/topology.kubernetes.io/region" = local.region
  }

  karpenter = {
    addon       = "karpenter"
    description = "Starts and ends the nodes of the cluster."
    namespace   = "karpenter"
    accounts    = ["karpenter"]
    statements = jsonencode([
      {
        Sid      = "StartFromImages"
        Effect   = "Allow"
        Action   = ["ec2:RunInstances", "ec2:CreateFleet"]
        Resource = ["${local.ec2_public}:image/*", "${local.ec2_public}:snapshot/*"]
      },
      {
        Sid      = "StartInTheCluster"
        Effect   = "Allow"
        Action   = ["ec2:RunInstances", "ec2:CreateFleet"]
        Resource = ["${local.ec2}:subnet/*", "${local.ec2}:security-group/*"]
        Condition = {
          StringEquals = { "aws:ResourceTag/karpenter.sh/discovery" = var.cluster_name }
        }
      },
      {
        Sid       = "StartFromOwnTemplates"
        Effect    = "Allow"
        Action    = ["ec2:RunInstances", "ec2:CreateFleet"]
        Resource  = "${local.ec2}:launch-template/*"
        Condition = local.karpenters_own
      },
      {
        Sid       = "MakeTemplates"
        Effect    = "Allow"
        Action    = "ec2:CreateLaunchTemplate"
        Resource  = "${local.ec2}:launch-template/*"
        Condition = local.karpenter_makes
      },
      {
        Sid       = "MakeWithTags"
        Effect    = "Allow"
        Action    = ["ec2:RunInstances", "ec2:CreateFleet"]
        Resource  = local.karpenter_started
        Condition = local.karpenter_makes
      },
      {
        Sid      = "TagWhatIsMade"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = concat(local.karpenter_started, ["${local.ec2}:launch-template/*"])
        Condition = merge(local.karpenter_makes, {
          StringEquals = merge(local.karpenter_makes.StringEquals, {
            "ec2:CreateAction" = ["RunInstances", "CreateFleet", "CreateLaunchTemplate"]
          })
        })
      },
      {
        Sid      = "NameOwnInstances"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = "${local.ec2}:instance/*"
        Condition = merge(local.karpenters_own, {
          StringEqualsIfExists        = { "aws:RequestTag/eks:eks-cluster-name" = var.cluster_name }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"] }
          Null                        = { "aws:TagKeys" = "false" }
        })
      },
      {
        Sid       = "EndOwn"
        Effect    = "Allow"
        Action    = ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"]
        Resource  = ["${local.ec2}:instance/*", "${local.ec2}:launch-template/*"]
        Condition = local.karpenters_own
      },
      {
        # They take no resource.
        Sid    = "SeeWhatThereIs"
        Effect = "Allow"
        Action = [
          "ec2:DescribeCapacityReservations",
          "ec2:DescribeImages",
          "ec2:DescribeInstanceStatus",
          "ec2:DescribeInstanceTypeOfferings",
          "ec2:DescribeInstanceTypes",
          "ec2:DescribeInstances",
          "ec2:DescribeLaunchTemplates",
          "ec2:DescribePlacementGroups",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSpotPriceHistory",
          "ec2:DescribeSubnets",
        ]
        Resource  = "*"
        Condition = { StringEquals = local.in_region }
      },
      {
        # Which image is which; AWS's own parameters.
        Sid    = "FindImages"
        Effect = "Allow"
        Action = "ssm:GetParameter"
        Resource = [
          for of in ["bottlerocket", "eks/optimized-ami"] :
          "arn:${local.partition}:ssm:${local.region}::parameter/aws/service/${of}/*"
        ]
      },
      {
        # It takes no resource, and prices are told in few regions.
        Sid      = "KnowPrices"
        Effect   = "Allow"
        Action   = "pricing:GetProducts"
        Resource = "*"
      },
      {
        Sid      = "SeeTheCluster"
        Effect   = "Allow"
        Action   = "eks:DescribeCluster"
        Resource = local.cluster
      },
      {
        Sid      = "HearOfInterruptions"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage"]
        Resource = var.interruption_queue_arn
      },
      {
        Sid       = "HandNodesTheirRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = one(aws_iam_role.karpenter_node[*].arn)
        Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
      },
      {
        Sid      = "MakeProfiles"
        Effect   = "Allow"
        Action   = "iam:CreateInstanceProfile"
        Resource = local.node_profiles
        Condition = {
          StringEquals = local.profile_made
          StringLike   = { "aws:RequestTag/karpenter.k8s.aws/ec2nodeclass" = "*" }
        }
      },
      {
        Sid      = "TagProfiles"
        Effect   = "Allow"
        Action   = "iam:TagInstanceProfile"
        Resource = local.node_profiles
        Condition = {
          StringEquals = merge(local.profile_made, local.profile_there)
          StringLike = {
            "aws:RequestTag/karpenter.k8s.aws/ec2nodeclass"  = "*"
            "aws:ResourceTag/karpenter.k8s.aws/ec2nodeclass" = "*"
          }
        }
      },
      {
        Sid      = "ChangeProfiles"
        Effect   = "Allow"
        Action   = ["iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"]
        Resource = local.node_profiles
        Condition = {
          StringEquals = local.profile_there
          StringLike   = { "aws:ResourceTag/karpenter.k8s.aws/ec2nodeclass" = "*" }
        }
      },
      {
        Sid      = "SeeProfiles"
        Effect   = "Allow"
        Action   = "iam:GetInstanceProfile"
        Resource = local.node_profiles
      },
      {
        # It takes no resource, and IAM is in no region: names, of the whole account.
        Sid      = "ListProfiles"
        Effect   = "Allow"
        Action   = "iam:ListInstanceProfiles"
        Resource = "*"
      },
    ])
  }
}
