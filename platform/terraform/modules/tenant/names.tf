# Names of queues and tables: as `tenantry.names` makes them, from the same examples
# (tests/contract/names.json). What is longer than AWS allows is cut to 40 characters, `-` and
# eight digits of its SHA-256.
locals {
  names = {
    for what, full in {
      queue             = { name = "${var.environment}-${var.instance.id}-messages", limit = 80 }
      dead_letter_queue = { name = "${var.environment}-${var.instance.id}-messages-dead-letters", limit = 80 }
      table             = { name = "${var.environment}-${var.instance.id}-messages", limit = 255 }
    } : what => length(full.name) <= full.limit ? full.name : "${substr(full.name, 0, 40)}-${substr(sha256(full.name), 0, 8)}"
  }
}
