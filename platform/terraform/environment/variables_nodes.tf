# Values of machines, and of what runs on them: the rest of the variables file.

variable "system_nodes" {
  description = "The managed node group, on which all runs that nodes for others depend on."
  nullable    = false
  type = object({
    image          = string
    instance_types = list(string)
    minimum        = number
    maximum        = number
    volume_gib     = number
  })

  validation {
    condition     = contains(["bottlerocket", "al2023"], var.system_nodes.image)
    error_message = "system_nodes.image: bottlerocket or al2023."
  }
  validation {
    condition     = length(var.system_nodes.instance_types) > 0 && alltrue([for type in var.system_nodes.instance_types : can(regex(local.instance_type, type))])
    error_message = "system_nodes.instance_types: at least one EC2 instance type, such as m7g.large."
  }
  validation {
    condition     = length(distinct([for type in var.system_nodes.instance_types : can(regex(local.graviton, type))])) <= 1
    error_message = "system_nodes.instance_types: all Graviton or none: a node group has one architecture."
  }
  validation {
    condition     = var.system_nodes.minimum >= 2 && var.system_nodes.maximum >= var.system_nodes.minimum && var.system_nodes.maximum <= 20 && floor(var.system_nodes.minimum) == var.system_nodes.minimum && floor(var.system_nodes.maximum) == var.system_nodes.maximum
    error_message = "system_nodes: minimum and maximum are whole numbers, 2 ≤ minimum ≤ maximum ≤ 20."
  }
  validation {
    condition     = var.system_nodes.volume_gib >= 20 && var.system_nodes.volume_gib <= 1000 && floor(var.system_nodes.volume_gib) == var.system_nodes.volume_gib
    error_message = "system_nodes.volume_gib: a whole number from 20 to 1,000."
  }
}

variable "node_class" {
  description = "The machines that Karpenter makes: image, its version, and disk."
  nullable    = false
  type = object({
    image         = string
    image_version = string
    volume_gib    = number
  })

  validation {
    condition     = contains(["bottlerocket", "al2023"], var.node_class.image)
    error_message = "node_class.image: bottlerocket or al2023."
  }
  validation {
    condition     = var.node_class.image_version == "latest" || can(regex(var.node_class.image == "al2023" ? "^v20[0-9]{6}$" : "^v${local.release}$", var.node_class.image_version))
    error_message = "node_class.image_version: as Karpenter's alias has it: v1.57.0 of bottlerocket, v20261101 of al2023, or latest."
  }
  validation {
    condition     = var.node_class.image_version != "latest" || var.environment == "dev"
    error_message = "node_class.image_version: latest replaces nodes whenever Amazon publishes an image: in dev only."
  }
  validation {
    condition     = var.node_class.volume_gib >= 20 && var.node_class.volume_gib <= 1000 && floor(var.node_class.volume_gib) == var.node_class.volume_gib
    error_message = "node_class.volume_gib: a whole number from 20 to 1,000."
  }
}

variable "node_pools" {
  description = "Karpenter's pools, one a tier: which machines, and how much in all."
  nullable    = false
  type = map(object({
    architectures = list(string)
    categories    = list(string)
    capacity      = list(string)
    cpu           = number
    memory_gib    = number
  }))

  validation {
    condition     = join(",", keys(var.node_pools)) == "advanced,basic,premium"
    error_message = "node_pools: one for each of basic, advanced and premium."
  }
  validation {
    condition     = alltrue([for pool in values(var.node_pools) : length(pool.architectures) > 0 && length(setsubtract(pool.architectures, ["amd64", "arm64"])) == 0])
    error_message = "node_pools: architectures are amd64, arm64 or both."
  }
  validation {
    condition     = alltrue([for pool in values(var.node_pools) : length(pool.categories) > 0 && alltrue([for category in pool.categories : can(regex("^[a-z]{1,4}$", category))])])
    error_message = "node_pools: categories are at least one of EC2's, such as c, m and r."
  }
  validation {
    condition     = alltrue([for pool in values(var.node_pools) : length(pool.capacity) > 0 && length(setsubtract(pool.capacity, ["spot", "on-demand"])) == 0])
    error_message = "node_pools: capacity is spot, on-demand or both; of both, spot is taken first."
  }
  validation {
    condition     = alltrue([for pool in values(var.node_pools) : pool.cpu >= 4 && pool.cpu <= 10000 && pool.memory_gib >= 8 && pool.memory_gib <= 40000 && floor(pool.cpu) == pool.cpu && floor(pool.memory_gib) == pool.memory_gib])
    error_message = "node_pools: cpu is a whole number from 4 to 10,000, memory_gib one from 8 to 40,000."
  }
}

variable "bounds" {
  description = "How many tenants share a pool or a load balancer at most: tenantctl's [bounds]."
  nullable    = false
  type = object({
    basic_a_pool    = number
    advanced_a_pool = number
    premium_a_group = number
    load_balancers  = number
  })

  validation {
    condition     = alltrue([for bound in values(var.bounds) : bound >= 1 && floor(bound) == bound])
    error_message = "bounds: whole numbers from 1."
  }
  validation {
    condition     = var.bounds.advanced_a_pool <= 75 && var.bounds.premium_a_group <= 20
    error_message = "bounds: at most 75 advanced tenants a pool and 20 premium tenants a group: a load balancer has 100 target groups and 100 rules."
  }
  validation {
    condition     = var.bounds.load_balancers <= 50
    error_message = "bounds.load_balancers: at most 50, which a region has unless AWS raised it."
  }
}

variable "domain" {
  description = "Tenants are at <id>.<name>. zone_id: Route 53's public zone of the name; certificate_arn: a certificate for *.<name>."
  nullable    = false
  type = object({
    name            = string
    zone_id         = string
    certificate_arn = string
  })

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]{2,63}$", var.domain.name)) && length(var.domain.name) <= 95
    error_message = "domain.name: a domain of lower-case letters, digits, hyphens and dots, at most 63 characters between two dots and 95 in all: with a tenant's 32 before it a load balancer's rules still take it."
  }
  validation {
    condition     = var.domain.zone_id == null || can(regex("^Z[A-Z0-9]{5,31}$", var.domain.zone_id))
    error_message = "domain.zone_id: Z and capital letters and digits, or null."
  }
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:${var.region}:[0-9]{12}:certificate/[0-9a-f-]{36}$", var.domain.certificate_arn))
    error_message = "domain.certificate_arn: the ARN of a certificate of ACM in ${var.region} for the domain's *: tenants' load balancers speak TLS alone."
  }
}

variable "identity" {
  description = "The identity provider whose tokens the services take, as the chart's facts.identity."
  nullable    = false
  type = object({
    mode       = string
    issuer     = string
    audience   = string
    jwks       = string
    claim      = string
    algorithms = list(string)
    cidrs      = list(string)
  })

  validation {
    condition     = contains(["jwt", "header"], var.identity.mode)
    error_message = "identity.mode: jwt, or header, which believes a mesh."
  }
  validation {
    condition     = alltrue([for url in [var.identity.issuer, var.identity.jwks] : can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^[:space:]]*)?$", url))])
    error_message = "identity: issuer and jwks are https addresses."
  }
  validation {
    condition     = alltrue([for text in [var.identity.audience, var.identity.claim] : length(text) >= 1 && trimspace(text) == text])
    error_message = "identity: audience and claim are not empty, and no space is around them."
  }
  validation {
    condition     = length(var.identity.algorithms) > 0 && length(setsubtract(var.identity.algorithms, local.algorithms)) == 0
    error_message = "identity.algorithms: at least one of ${join(", ", local.algorithms)}."
  }
  validation {
    condition     = alltrue([for range in var.identity.cidrs : can(cidrhost(range, 0))])
    error_message = "identity.cidrs: ranges in which the keys' address lies, such as 0.0.0.0/0 for the internet."
  }
}

variable "git" {
  description = "Where the repositories are: the fleet that Flux follows, and the source of all this."
  nullable    = false
  type = object({
    url    = string
    fleet  = string
    source = string
    branch = string
  })

  validation {
    condition     = can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?$", var.git.url))
    error_message = "git.url: an https address without a path, such as https://gitea.example.com."
  }
  validation {
    condition     = alltrue([for name in [var.git.fleet, var.git.source] : can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$", name))]) && var.git.fleet != var.git.source
    error_message = "git: fleet and source are two repositories, each as owner/name, of at most 100 characters each."
  }
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*$", var.git.branch)) && length(var.git.branch) <= 100 && !strcontains(var.git.branch, ".lock")
    error_message = "git.branch: the name of a branch: letters, digits, hyphens and underscores, with single dots or slashes between them, at most 100, and no .lock."
  }
}

variable "registry" {
  description = "The ECR from which images and charts come. Null: the environment's own account and region."
  nullable    = false
  type = object({
    account = string
    region  = string
    prefix  = string
  })

  validation {
    condition     = var.registry.account == null || can(regex("^[0-9]{12}$", var.registry.account))
    error_message = "registry.account: twelve digits in quotes, or null."
  }
  validation {
    condition     = var.registry.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.registry.region))
    error_message = "registry.region: the name of an AWS region, or null."
  }
  validation {
    condition     = var.registry.prefix == "tenantry"
    error_message = "registry.prefix: tenantry, as chart, admission and Flux's sources name their repositories; another needs a change there, too."
  }
}

variable "limits" {
  description = "The largest message of a queue in bytes, and what a month may cost in dollars before somebody is told."
  nullable    = false
  type = object({
    max_message_bytes = number
    monthly_usd       = number
  })

  validation {
    condition     = var.limits.max_message_bytes >= 1024 && var.limits.max_message_bytes <= 1048576 && floor(var.limits.max_message_bytes) == var.limits.max_message_bytes
    error_message = "limits.max_message_bytes: a whole number from 1,024 to 1,048,576."
  }
  validation {
    condition     = var.limits.monthly_usd >= 1 && var.limits.monthly_usd <= 1000000000
    error_message = "limits.monthly_usd: from 1 to 1,000,000,000."
  }
}

variable "alerts" {
  description = "Who is told of requests that could not be taken, and of what the month costs: e-mail addresses, each of which confirms once."
  nullable    = false
  type = object({
    emails = list(string)
  })

  validation {
    condition     = alltrue([for address in var.alerts.emails : can(regex("^[^@[:space:]]{1,64}@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$", address)) && length(address) <= 254]) && length(distinct(var.alerts.emails)) == length(var.alerts.emails)
    error_message = "alerts.emails: e-mail addresses such as operations@example.com, none of them twice."
  }
}

variable "telemetry" {
  description = "Traces: of requests that bring no decision, how many are traced."
  nullable    = false
  type = object({
    sample_ratio = number
  })

  validation {
    condition     = var.telemetry.sample_ratio >= 0 && var.telemetry.sample_ratio <= 1
    error_message = "telemetry.sample_ratio: from 0 to 1."
  }
}
