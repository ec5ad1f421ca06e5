# The AWS Load Balancer Controller makes application load balancers for the cluster's routes, and
# changes those that say by their tag that they are this cluster's. After the policy that the project
# gives out for 3.x, without what is switched off here: WAF, Shield, Cognito, network load balancers,
# Outposts, trust stores, address pools.

locals {
  elb = "arn:${local.partition}:elasticloadbalancing:${local.region}:${local.account}"

  load_balancers = "${local.elb}:loadbalancer/app/*"
  listeners      = "${local.elb}:listener/app/*"
  rules          = "${local.elb}:listener-rule/app/*"
  target_groups  = "${local.elb}:targetgroup/*"

  elb_tagged = { "aws:ResourceTag/elbv2.k8s.aws/cluster" = var.cluster_name }
  elb_tags   = { "aws:RequestTag/elbv2.k8s.aws/cluster" = var.cluster_name }

  load_balancer_controller = {
    addon       = "aws-load-balancer-controller"
    description = "Makes and changes the load balancers of the cluster's routes."
    namespace   = "kube-system"
    accounts    = ["aws-load-balancer-controller"]
    statements = jsonencode([
      {
        # They take no resource.
        Sid    = "SeeWhatThereIs"
        Effect = "Allow"
        Action = [
          "ec2:DescribeAccountAttributes",
          "ec2:DescribeAddresses",
          "ec2:DescribeAvailabilityZones",
          "ec2:DescribeInstances",
          "ec2:DescribeInternetGateways",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeRouteTables",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSubnets",
          "ec2:DescribeTags",
          "ec2:DescribeVpcPeeringConnections",
          "ec2:DescribeVpcs",
          "elasticloadbalancing:DescribeCapacityReservation",
          "elasticloadbalancing:DescribeListenerAttributes",
          "elasticloadbalancing:DescribeListenerCertificates",
          "elasticloadbalancing:DescribeListeners",
          "elasticloadbalancing:DescribeLoadBalancerAttributes",
          "elasticloadbalancing:DescribeLoadBalancers",
          "elasticloadbalancing:DescribeRules",
          "elasticloadbalancing:DescribeSSLPolicies",
          "elasticloadbalancing:DescribeTags",
          "elasticloadbalancing:DescribeTargetGroupAttributes",
          "elasticloadbalancing:DescribeTargetGroups",
          "elasticloadbalancing:DescribeTargetHealth",
          "acm:ListCertificates",
        ]
        Resource  = "*"
        Condition = { StringEquals = local.in_region }
      },
      {
        Sid      = "SeeTheVpc"
        Effect   = "Allow"
        Action   = "ec2:GetSecurityGroupsForVpc"
        Resource = "${local.ec2}:vpc/${coalesce(var.vpc_id, "none")}"
      },
      {
        Sid      = "FindCertificates"
        Effect   = "Allow"
        Action   = "acm:DescribeCertificate"
        Resource = "arn:${local.partition}:acm:${local.region}:${local.account}:certificate/*"
      },
      {
        # ELB's own role, where the account has none yet.
        Sid       = "HaveTheServicesRole"
        Effect    = "Allow"
        Action    = "iam:CreateServiceLinkedRole"
        Resource  = "arn:${local.partition}:iam::${local.account}:role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing"
        Condition = { StringEquals = { "iam:AWSServiceName" = "elasticloadbalancing.amazonaws.com" } }
      },
      {
        Sid      = "MakeSecurityGroupsInTheVpc"
        Effect   = "Allow"
        Action   = "ec2:CreateSecurityGroup"
        Resource = "${local.ec2}:vpc/${coalesce(var.vpc_id, "none")}"
      },
      {
        Sid       = "MakeSecurityGroups"
        Effect    = "Allow"
        Action    = "ec2:CreateSecurityGroup"
        Resource  = "${local.ec2}:security-group/*"
        Condition = { StringEquals = local.elb_tags }
      },
      {
        Sid      = "TagSecurityGroupsThatAreMade"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = "${local.ec2}:security-group/*"
        Condition = {
          StringEquals = merge(local.elb_tags, { "ec2:CreateAction" = "CreateSecurityGroup" })
        }
      },
      {
        # Whose it is stays as it is.
        Sid      = "TagOwnSecurityGroups"
        Effect   = "Allow"
        Action   = ["ec2:CreateTags", "ec2:DeleteTags"]
        Resource = "${local.ec2}:security-group/*"
        Condition = {
          StringEquals                   = local.elb_tagged
          "ForAllValues:StringNotEquals" = { "aws:TagKeys" = ["elbv2.k8s.aws/cluster"] }
          Null                           = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid       = "ChangeOwnSecurityGroups"
        Effect    = "Allow"
        Action    = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress", "ec2:DeleteSecurityGroup"]
        Resource  = "${local.ec2}:security-group/*"
        Condition = { StringEquals = local.elb_tagged }
      },
      {
        # Into the cluster, whose security group EKS tags so.
        Sid       = "LetIntoTheCluster"
        Effect    = "Allow"
        Action    = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
        Resource  = "${local.ec2}:security-group/*"
        Condition = { StringEquals = { "aws:ResourceTag/${local.owned_tag}" = "owned" } }
      },
      {
        Sid       = "Make"
        Effect    = "Allow"
        Action    = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
        Resource  = [local.load_balancers, local.target_groups]
        Condition = { StringEquals = local.elb_tags }
      },
      {
        Sid       = "MakeOnOwn"
        Effect    = "Allow"
        Action    = ["elasticloadbalancing:CreateListener", "elasticloadbalancing:CreateRule"]
        Resource  = [local.load_balancers, local.listeners]
        Condition = { StringEquals = merge(local.elb_tagged, local.elb_tags) }
      },
      {
        Sid      = "TagWhatIsMade"
        Effect   = "Allow"
        Action   = "elasticloadbalancing:AddTags"
        Resource = [local.load_balancers, local.listeners, local.rules, local.target_groups]
        Condition = {
          StringEquals = merge(local.elb_tags, {
            "elasticloadbalancing:CreateAction" = ["CreateLoadBalancer", "CreateListener", "CreateRule", "CreateTargetGroup"]
          })
        }
      },
      {
        Sid      = "TagOwn"
        Effect   = "Allow"
        Action   = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
        Resource = [local.load_balancers, local.listeners, local.rules, local.target_groups]
        Condition = {
          StringEquals                   = local.elb_tagged
          "ForAllValues:StringNotEquals" = { "aws:TagKeys" = ["elbv2.k8s.aws/cluster"] }
          Null                           = { "aws:TagKeys" = "false" }
        }
      },
      {
        Sid    = "ChangeOwn"
        Effect = "Allow"
        Action = [
          "elasticloadbalancing:AddListenerCertificates",
          "elasticloadbalancing:DeleteListener",
          "elasticloadbalancing:DeleteLoadBalancer",
          "elasticloadbalancing:DeleteRule",
          "elasticloadbalancing:DeleteTargetGroup",
          "elasticloadbalancing:DeregisterTargets",
          "elasticloadbalancing:ModifyListener",
          "elasticloadbalancing:ModifyListenerAttributes",
          "elasticloadbalancing:ModifyLoadBalancerAttributes",
          "elasticloadbalancing:ModifyRule",
          "elasticloadbalancing:ModifyTargetGroup",
          "elasticloadbalancing:ModifyTargetGroupAttributes",
          "elasticloadbalancing:RegisterTargets",
          "elasticloadbalancing:RemoveListenerCertificates",
          "elasticloadbalancing:SetIpAddressType",
          "elasticloadbalancing:SetRulePriorities",
          "elasticloadbalancing:SetSecurityGroups",
          "elasticloadbalancing:SetSubnets",
        ]
        Resource  = [local.load_balancers, local.listeners, local.rules, local.target_groups]
        Condition = { StringEquals = local.elb_tagged }
      },
    ])
  }
}
