# dev: one of everything that may be one.
# Every step reads this file and no other; what each value means, and what it may be, is in
# platform/terraform/environment/variables.tf and variables_nodes.tf.

environment = "dev"
region      = "eu-central-1"
account     = null # twelve digits; then it is applied in no other
protected   = false
tags        = { project = "tenantry" }

network = {
  cidr                = "10.16.0.0/16"
  zones               = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nat                 = "one"
  interface_endpoints = ["dynamodb", "ecr.api", "ecr.dkr", "eks-auth", "sqs", "sts"]
  flow_log_days       = 7

  peers = {
    shared = { cidr = "10.14.0.0/18", vpc_id = null, reaches_services = false }
  }
}

workstation = {
  cidr          = "10.15.0.0/24"
  instance_type = "m7i.large"
  volume_gib    = 60
  idle_minutes  = 60
}

kubernetes = {
  version             = "1.35"
  service_cidr        = "172.20.0.0/16"
  public_access_cidrs = []
  log_days            = 14
  admins              = []
  viewers             = []
  operators           = []
}

addons = {
  # Amazon's own
  vpc-cni                = { version = "v1.21.1-eksbuild.3", enabled = true }
  coredns                = { version = "v1.13.2-eksbuild.1", enabled = true }
  kube-proxy             = { version = "v1.35.0-eksbuild.2", enabled = true }
  eks-pod-identity-agent = { version = "v1.3.10-eksbuild.3", enabled = true }
  aws-ebs-csi-driver     = { version = "v1.57.1-eksbuild.1", enabled = true }
  metrics-server         = { version = "v0.8.0-eksbuild.3", enabled = true }

  # Flux, and what it installs
  flux                         = { version = "2.9.5", enabled = true }
  external-secrets             = { version = "1.3.2", enabled = true }
  aws-load-balancer-controller = { version = "3.5.0", enabled = true }
  karpenter                    = { version = "1.15.1", enabled = true }
  tofu-controller              = { version = "0.16.5", enabled = true }
  argo-workflows               = { version = "3.7.18", enabled = true }
  argo-events                  = { version = "1.9.11", enabled = true }
  keda                         = { version = "2.21.0", enabled = true }
  monitoring                   = { version = "88.5.3", enabled = true }
  opentelemetry-collector      = { version = "0.165.0", enabled = false }
  opencost                     = { version = "1.118.0", enabled = false }
  external-dns                 = { version = "0.23.0", enabled = false }
  flux-ui                      = { version = "0.59.0", enabled = false }
}

system_nodes = {
  image          = "bottlerocket"
  instance_types = ["m7g.large"]
  minimum        = 2
  maximum        = 4
  volume_gib     = 40
}

node_class = {
  image         = "bottlerocket"
  image_version = "v1.57.0"
  volume_gib    = 60
}

node_pools = {
  basic    = { architectures = ["arm64", "amd64"], categories = ["c", "m", "r"], capacity = ["spot", "on-demand"], cpu = 32, memory_gib = 128 }
  advanced = { architectures = ["arm64", "amd64"], categories = ["c", "m", "r"], capacity = ["spot", "on-demand"], cpu = 32, memory_gib = 128 }
  premium  = { architectures = ["arm64", "amd64"], categories = ["c", "m", "r"], capacity = ["spot", "on-demand"], cpu = 32, memory_gib = 128 }
}

bounds = {
  basic_a_pool    = 100
  advanced_a_pool = 75
  premium_a_group = 20
  load_balancers  = 10
}

domain = {
  name            = "dev.example.com"
  zone_id         = null
  certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000" # for *.name
}

identity = {
  mode       = "jwt"
  issuer     = "https://identity.example.com/"
  audience   = "tenantry"
  jwks       = "https://identity.example.com/.well-known/jwks.json"
  claim      = "tenant_id"
  algorithms = ["RS256"]
  cidrs      = ["0.0.0.0/0"]
}

git = {
  url    = "https://gitea.example.com"
  fleet  = "platform/fleet"
  source = "platform/tenantry"
  branch = "main"
}

registry = {
  account = null # the environment's own
  region  = null
  prefix  = "tenantry"
}

limits = {
  max_message_bytes = 262144
  monthly_usd       = 900
}

alerts = { emails = [] } # who is told of dead letters, and of a month that costs more than that

telemetry = { sample_ratio = 0.01 }
