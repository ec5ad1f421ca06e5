# The role by which EC2 starts Spot machines: once an account, and Karpenter may make no role. AWS
# deletes it only when no Spot machine is left.
resource "aws_iam_service_linked_role" "spot" {
  count = var.makes_spot_role ? 1 : 0

  aws_service_name = "spot.amazonaws.com"
  description      = "EC2 starts and ends Spot machines, Karpenter's among them."
}
