variable "environment" {
  description = "The environment's name. No hyphen, so that no two environments of an account can make the same name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*$", var.environment)) && length(var.environment) <= 20
    error_message = "environment is 1 to 20 lower-case letters and digits, and starts with a letter: no hyphen, with which two environments could make the same name."
  }
}

variable "instance" {
  description = "The pool or the tenant, as the chart's `instance`; what else stands there is left out."
  nullable    = false
  type = object({
    id    = string
    kind  = optional(string, "tenant")
    tier  = optional(string, "basic")
    pool  = optional(string)
    phase = optional(string, "active")
    transition = optional(object({
      from = object({
        tier = string
        pool = optional(string)
      })
      phase = string
    }))
  })

  validation {
    condition     = contains(["pool", "tenant"], var.instance.kind)
    error_message = "instance.kind is pool or tenant."
  }

  # The same three rules, of the same file, as services, chart and admission: tenant_id.json.
  validation {
    condition     = var.instance.kind == "pool" || (length(var.instance.id) >= local.id_rule.min_length && length(var.instance.id) <= local.id_rule.max_length)
    error_message = "instance.id: a tenant id has ${local.id_rule.min_length} to ${local.id_rule.max_length} characters."
  }
  validation {
    condition     = var.instance.kind == "pool" || can(regex(local.id_rule.pattern, var.instance.id))
    error_message = "instance.id: a tenant id matches ${local.id_rule.pattern}."
  }
  validation {
    condition = var.instance.kind == "pool" || !(
      contains(local.id_rule.reserved, var.instance.id)
      || anytrue([for prefix in local.id_rule.reserved_prefixes : startswith(var.instance.id, prefix)])
    )
    error_message = "instance.id: this tenant id is reserved."
  }
  validation {
    condition = alltrue([
      for pool in compact([
        var.instance.kind == "pool" ? var.instance.id : null,
        var.instance.pool,
        try(var.instance.transition.from.pool, null),
      ]) : can(regex(local.pool_pattern, pool)) && length(pool) <= local.id_rule.max_length
    ])
    error_message = "instance: the name of a pool matches ${local.pool_pattern} and has at most ${local.id_rule.max_length} characters."
  }

  validation {
    condition = alltrue([
      for tier in compact([var.instance.tier, try(var.instance.transition.from.tier, null)]) :
      contains(["basic", "advanced", "premium"], tier)
    ])
    error_message = "instance: a tier is basic, advanced or premium."
  }
  validation {
    condition     = var.instance.kind != "pool" || (var.instance.tier == "basic" && var.instance.transition == null)
    error_message = "instance: a pool is of tier basic, and has no transition."
  }
  validation {
    condition = var.instance.kind == "pool" || alltrue([
      for place in concat([var.instance], var.instance.transition[*].from) :
      place.tier == "premium" || place.pool != null
    ])
    error_message = "instance: a tenant of tier basic or advanced is in a pool, so instance.pool (or instance.transition.from.pool) names it."
  }
  validation {
    condition     = var.instance.kind == "pool" || var.instance.tier != "basic" || try(var.instance.transition.from.tier, "basic") != "basic"
    error_message = "instance: a tenant of tier basic has nothing of its own. This module is for pools, for advanced and premium tenants, and for the transition of one of these to basic."
  }

  validation {
    condition     = contains(["active", "offboarding"], var.instance.phase)
    error_message = "instance.phase is active or offboarding."
  }
  validation {
    condition     = contains(["provisioning", "copying", "switched", "draining", "removing"], try(var.instance.transition.phase, "removing"))
    error_message = "instance.transition.phase is provisioning, copying, switched, draining or removing."
  }
  validation {
    condition = var.instance.transition == null || try(
      var.instance.transition.from.tier != var.instance.tier || var.instance.transition.from.pool != var.instance.pool, true
    )
    error_message = "instance.transition.from is the place where the tenant is already: a transition leads to another tier or pool."
  }
  validation {
    condition     = var.instance.phase == "active" || var.instance.transition == null
    error_message = "instance: a tenant in transition is not offboarded. Finish the transition, or turn it round, first."
  }
}

variable "cluster_name" {
  description = "The EKS cluster in which the instance's pods run."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name is the name of an EKS cluster: 1 to 100 letters, digits, - and _."
  }
}

variable "roles" {
  description = "ARNs of the environment's roles, by name: `producer`, `consumer`, `pool-producer`, `pool-consumer`. Others may stand there."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for role in ["producer", "consumer", "pool-producer", "pool-consumer"] : contains(keys(var.roles), role)])
    error_message = "roles names producer, consumer, pool-producer and pool-consumer."
  }
  validation {
    condition     = alltrue([for arn in values(var.roles) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[\\w+=,.@/-]+$", arn))])
    error_message = "roles are ARNs of IAM roles: arn:aws:iam::123456789012:role/name."
  }
}

variable "visibility_seconds" {
  description = "The queue's visibility timeout: the consumer's `TENANTRY_VISIBILITY_SECONDS`."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.visibility_seconds >= 2 && var.visibility_seconds <= 43200 && floor(var.visibility_seconds) == var.visibility_seconds
    error_message = "visibility_seconds is a whole number from 2 to 43,200, as the consumer's setting."
  }
}

variable "max_message_bytes" {
  description = "The largest message, attributes included. Above 262,144 hashicorp/aws 6.8 or later is needed."
  type        = number
  default     = 262144
  nullable    = false

  validation {
    condition     = var.max_message_bytes >= 1024 && var.max_message_bytes <= 1048576 && floor(var.max_message_bytes) == var.max_message_bytes
    error_message = "max_message_bytes is a whole number from 1,024 to 1,048,576."
  }
}

variable "table_ceiling" {
  description = "Request units a second that the table serves at most: a bound on what one instance can cost. The defaults are what a new table on demand takes at once."
  type = object({
    read_units  = optional(number, 12000)
    write_units = optional(number, 4000)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for units in values(var.table_ceiling) : units >= 1 && units <= 40000 && floor(units) == units])
    error_message = "table_ceiling: read_units and write_units are whole numbers from 1 to 40,000, DynamoDB's default quota of a table."
  }
}

variable "tags" {
  description = "More tags for every resource, such as a cost centre. Those under `tenantry:` decide about access, and are the module's."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    # In any case: IAM looks a tag up so, and TENANTRY:tenant would be one more of ours.
    condition     = !anytrue([for key in keys(var.tags) : startswith(lower(key), "tenantry:") || startswith(lower(key), "aws:")])
    error_message = "tags: keys under tenantry: decide about access and are made by the module; those under aws: are Amazon's."
  }
  validation {
    condition     = length(var.tags) <= 40
    error_message = "tags: at most 40, of the 50 that a resource can have."
  }
}
