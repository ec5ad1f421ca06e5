# shared: what the account has once, for all its environments.
# Read by platform/terraform/shared; what each value means, and what it may be, is in its variables.tf
# and in those of modules/gitea and modules/registry.

region    = "eu-central-1"
account   = null # twelve digits; then it is applied in no other
protected = true
tags      = { project = "tenantry" }

makes_spot_role = true # false where the account has AWSServiceRoleForEC2Spot

network = {
  cidr                = "10.14.0.0/18" # as environments' network.peers.shared says
  zones               = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nat                 = "one"
  interface_endpoints = []
  flow_log_days       = 30
}

# Environments, whose Flux fetches from Gitea, and their workstations, where people work.
clients = [
  "10.16.0.0/16", "10.15.0.0/24", # dev
  "10.24.0.0/16", "10.23.0.0/24", # staging
  "10.32.0.0/16", "10.31.0.0/24", # production
]

address = {
  host            = "gitea.example.com"
  zone_id         = "Z00000000EXAMPLE00000" # yours: a public zone; or null, and a certificate's ARN
  certificate_arn = null
}

gitea = {
  version       = "1.26.1"
  sha256        = "0000000000000000000000000000000000000000000000000000000000000000" # stands beside the binary, for linux-arm64
  image         = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64"
  instance_type = "t4g.medium"
  volume_gib    = 50
  restore_from  = null
}

snapshots = { hours = 6, kept = 28 } # a week

git = {
  organization = "platform"
  repositories = ["tenantry", "fleet"]
  release      = "release/tenantry"
}

runners = {
  version       = "0.2.13"
  sha256        = "0000000000000000000000000000000000000000000000000000000000000000" # stands beside the binary, for linux-arm64
  lifetime_days = 1

  # The sums stand beside the downloads: of kubectl and cosign for linux-arm64, of archives in SHA256SUMS.
  programs = {
    kubectl   = { version = "1.36.4", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
    terraform = { version = "1.11.4", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
    cosign    = { version = "3.1.3", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }
  # hashicorp/aws, in the image that runs the tenants' Terraform: as the tests run it.
  provider = {
    version = "5.100.0"
    sha256 = {
      amd64 = "0000000000000000000000000000000000000000000000000000000000000000"
      arm64 = "0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  ci = {
    image         = "al2023-ami-2023.12.20260930.0-kernel-6.18-arm64"
    machines      = 1
    instance_type = "m7g.large"
    volume_gib    = 60
    packages      = ["gcc", "make", "nodejs20", "python3.11", "python3.11-pip"]
  }
  release = {
    image         = "debian-12-arm64-20231013-1532" # yours: the newest, by `aws ec2 describe-images --owners 136693071363`
    machines      = 1
    instance_type = "m7g.large"
    volume_gib    = 60
    packages      = ["awscli", "buildah", "ca-certificates", "curl", "gcc", "make", "python3.11", "python3.11-venv"]
  }
}

registry = {
  prefix             = "tenantry" # as the chart and Flux's sources say
  reader_accounts    = []
  development_builds = 500
}
