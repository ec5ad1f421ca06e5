# external-dns writes the names of tenants into one hosted zone: addresses, and the texts by which it
# knows its own records.

locals {
  external_dns = {
    addon       = "external-dns"
    description = "Writes records of tenants into the environment's hosted zone."
    namespace   = "external-dns"
    accounts    = ["external-dns"]
    statements = jsonencode([
      {
        Sid      = "WriteRecords"
        Effect   = "Allow"
        Action   = "route53:ChangeResourceRecordSets"
        Resource = "arn:${local.partition}:route53:::hostedzone/${coalesce(var.zone_id, "none")}"
        Condition = {
          "ForAllValues:StringEquals" = { "route53:ChangeResourceRecordSetsRecordTypes" = ["A", "AAAA", "CNAME", "TXT"] }
          Null                        = { "route53:ChangeResourceRecordSetsRecordTypes" = "false" }
        }
      },
      {
        Sid      = "ReadRecords"
        Effect   = "Allow"
        Action   = "route53:ListResourceRecordSets"
        Resource = "arn:${local.partition}:route53:::hostedzone/${coalesce(var.zone_id, "none")}"
      },
      {
        # It takes no resource, and Route 53 is in no region: names of zones, of the whole account.
        Sid      = "FindZone"
        Effect   = "Allow"
        Action   = "route53:ListHostedZones"
        Resource = "*"
      },
    ])
  }
}
