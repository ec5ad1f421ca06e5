variable "name" {
  description = "First part of every name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,11}$", var.name))
    error_message = "name: a lower-case letter, then at most 11 lower-case letters and digits."
  }
}

variable "network" {
  description = "Where it stands: the server and its volume in one zone, the load balancer and the runners over all."
  nullable    = false
  type = object({
    vpc_id                   = string
    server_subnet_id         = string
    server_zone              = string
    runner_subnet_ids        = list(string)
    load_balancer_subnet_ids = list(string)
  })
}

variable "client_cidrs" {
  description = "Who reaches Gitea beside its runners: ranges of environments, and of VPCs that people work in."
  type        = list(string)
  nullable    = false

  validation {
    condition     = alltrue([for range in var.client_cidrs : try(cidrsubnet(range, 0, 0) == range && tonumber(split("/", range)[1]) >= 8, false)])
    error_message = "clients: IPv4 ranges, /8 or smaller, each written by its first address."
  }
}

variable "address" {
  description = "Its name, and who proves it: a certificate that is there, or one that is made in the public zone of the name, with the name's record."
  nullable    = false
  type = object({
    host            = string
    zone_id         = string
    certificate_arn = string
  })

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", var.address.host)) && length(var.address.host) <= 64
    error_message = "address.host: a name in DNS, such as gitea.example.com; a certificate takes 64 characters."
  }
  validation {
    condition     = (var.address.zone_id == null) != (var.address.certificate_arn == null)
    error_message = "address: zone_id, where certificate and record are made, or certificate_arn, if both are yours to keep; one of them, the other null."
  }
  validation {
    condition     = var.address.zone_id == null || can(regex("^Z[A-Z0-9]{5,31}$", var.address.zone_id))
    error_message = "address.zone_id: of a public zone in Route 53, such as Z0123456789ABCDEFGHIJ."
  }
  validation {
    condition     = var.address.certificate_arn == null || can(regex("^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$", var.address.certificate_arn))
    error_message = "address.certificate_arn: of a certificate in ACM."
  }
}

variable "gitea" {
  description = "The server: Gitea's version and the SHA-256 of its binary, the machine and its image by its whole name, the data volume. restore_from: a snapshot that the data volume is made of anew."
  nullable    = false
  type = object({
    version       = string
    sha256        = string
    image         = string
    instance_type = string
    volume_gib    = number
    restore_from  = string
  })

  validation {
    condition     = can(regex("^1[.][0-9]+[.][0-9]+$", var.gitea.version)) && try(tonumber(split(".", var.gitea.version)[1]) >= 24, false)
    error_message = "gitea.version: exact, and 1.24.0 or later: before, runners cannot be for one job only."
  }
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.gitea.sha256))
    error_message = "gitea.sha256: of the binary, 64 hexadecimal digits."
  }
  validation {
    condition     = can(regex("^al2023-ami-2023[.][0-9.]+-kernel-[0-9.]+-(arm64|x86_64)$", var.gitea.image))
    error_message = "gitea.image: the whole name of an image of Amazon Linux 2023, such as al2023-ami-2023.6.20241010.0-kernel-6.1-x86_64: one name is one image."
  }
  validation {
    condition     = endswith(var.gitea.image, "arm64") == can(regex("^[a-z]+[0-9]+g[a-z]*[.]", var.gitea.instance_type)) && can(regex("^[a-z][a-z0-9-]*[.][a-z0-9-]+$", var.gitea.instance_type))
    error_message = "gitea.instance_type: one that runs gitea.image: of Graviton (m7g.large) for arm64, of another kind for x86_64."
  }
  validation {
    condition     = var.gitea.volume_gib >= 20 && var.gitea.volume_gib <= 16384 && floor(var.gitea.volume_gib) == var.gitea.volume_gib
    error_message = "gitea.volume_gib: a whole number from 20 to 16,384. A volume grows and never shrinks."
  }
  validation {
    condition     = var.gitea.restore_from == null || can(regex("^snap-[0-9a-f]{8,17}$", var.gitea.restore_from))
    error_message = "gitea.restore_from: a snapshot's id, or null."
  }
}

variable "snapshots" {
  description = "Of the data volume: one every so many hours, and how many are kept."
  nullable    = false
  type        = object({ hours = number, kept = number })

  validation {
    condition     = contains([1, 2, 3, 4, 6, 8, 12, 24], var.snapshots.hours)
    error_message = "snapshots.hours: 1, 2, 3, 4, 6, 8, 12 or 24."
  }
  validation {
    condition     = var.snapshots.kept >= 2 && var.snapshots.kept <= 1000 && floor(var.snapshots.kept) == var.snapshots.kept
    error_message = "snapshots.kept: a whole number from 2 to 1,000."
  }
}

variable "git" {
  description = "The organisation of developers' repositories, which are made if they are missing, and the repository that releases are built in: elsewhere, where developers cannot write."
  nullable    = false
  type = object({
    organization = string
    repositories = list(string)
    release      = string
  })

  validation {
    condition     = alltrue([for name in concat([var.git.organization], var.git.repositories) : can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", name))]) && length(var.git.repositories) > 0
    error_message = "git: organization and repositories are lower-case letters, digits and single hyphens; there is at least one repository."
  }
  validation {
    condition     = can(regex("^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*$", var.git.release)) && try(split("/", var.git.release)[0] != var.git.organization, false)
    error_message = "git.release: owner/name, of another owner than git.organization: whoever writes there publishes."
  }
}

variable "runners" {
  description = "What runs workflows: version and SHA-256 of the runner, of the programs that no package brings, and of hashicorp/aws, which the image of the tenants' Terraform has inside; how long a machine lives at most; of each kind the image by its whole name, the machines and what they have installed."
  nullable    = false
  type = object({
    version       = string
    sha256        = string
    lifetime_days = number
    programs = object({
      kubectl   = object({ version = string, sha256 = string })
      terraform = object({ version = string, sha256 = string })
      cosign    = object({ version = string, sha256 = string })
    })
    provider = object({ version = string, sha256 = object({ amd64 = string, arm64 = string }) })
    ci       = object({ image = string, machines = number, instance_type = string, volume_gib = number, packages = list(string) })
    release  = object({ image = string, machines = number, instance_type = string, volume_gib = number, packages = list(string) })
  })

  validation {
    condition     = try(sum([for place, part in regex("^([0-9]+)[.]([0-9]+)[.]([0-9]+)$", var.runners.version) : part * pow(1000, 2 - place)]) >= 2012, false)
    error_message = "runners.version: exact, and 0.2.12 or later: before, a runner cannot be for one job only."
  }
  validation {
    condition     = alltrue([for sha256 in concat([var.runners.sha256], values(var.runners.provider.sha256), [for program in values(var.runners.programs) : program.sha256]) : can(regex("^[0-9a-f]{64}$", sha256))])
    error_message = "runners: each sha256, of a binary or of an archive as it is downloaded, is 64 hexadecimal digits."
  }
  validation {
    condition     = alltrue([for one in concat([var.runners.provider], values(var.runners.programs)) : can(regex("^[0-9]+[.][0-9]+[.][0-9]+$", one.version))])
    error_message = "runners: versions of programs and of provider are exact."
  }
  validation {
    condition     = can(regex("^al2023-ami-2023[.][0-9.]+-kernel-[0-9.]+-(arm64|x86_64)$", var.runners.ci.image))
    error_message = "runners.ci.image: the whole name of an image of Amazon Linux 2023."
  }
  validation {
    condition     = can(regex("^debian-12-(arm64|amd64)-[0-9]{8}-[0-9]+$", var.runners.release.image))
    error_message = "runners.release.image: the whole name of an image of Debian 12, such as debian-12-arm64-20231013-1532: it has buildah, and Python 3.11."
  }
  validation {
    condition = alltrue([
      for kind in [var.runners.ci, var.runners.release] :
      can(regex("^[a-z][a-z0-9-]*[.][a-z0-9-]+$", kind.instance_type)) && strcontains(kind.image, "-arm64") == can(regex("^[a-z]+[0-9]+g[a-z]*[.]", kind.instance_type))
    ])
    error_message = "runners: each instance_type runs the image beside it: of Graviton for arm64, of another kind for x86_64."
  }
  validation {
    condition     = var.runners.lifetime_days >= 1 && var.runners.lifetime_days <= 30 && floor(var.runners.lifetime_days) == var.runners.lifetime_days
    error_message = "runners.lifetime_days: a whole number from 1 to 30."
  }
  validation {
    condition = alltrue([
      for kind in [var.runners.ci, var.runners.release] :
      kind.machines >= 0 && kind.machines <= 20 && floor(kind.machines) == kind.machines && kind.volume_gib >= 20 && kind.volume_gib <= 1000 && floor(kind.volume_gib) == kind.volume_gib
    ])
    error_message = "runners: machines is a whole number from 0 to 20, volume_gib one from 20 to 1,000."
  }
  validation {
    condition     = alltrue([for package in concat(var.runners.ci.packages, var.runners.release.packages) : can(regex("^[a-z0-9][a-zA-Z0-9.+_-]*$", package))])
    error_message = "runners: packages are named as the image's distribution names them."
  }
}

variable "publishes" {
  description = "What the runner of releases may write: ECR repositories, and the key that it signs with."
  nullable    = false
  type = object({
    repository_arns = list(string)
    signing_key_arn = string
  })

  validation {
    condition     = length(var.publishes.repository_arns) > 0 && alltrue([for arn in var.publishes.repository_arns : !strcontains(arn, "*")])
    error_message = "publishes.repository_arns: each by its name."
  }
}

variable "protected" {
  description = "Whether AWS refuses to delete the load balancer, and a data volume that goes leaves a last snapshot."
  type        = bool
  nullable    = false
}
