// Command cosign is Sigstore's cosign, for keys that are files. Its own command brings four key
// services, which take much of the time to build.
package main

import (
	"log"

	"github.com/sigstore/cosign/v3/cmd/cosign/cli"
)

func main() {
	if err := cli.New().Execute(); err != nil {
		log.Fatalf("error during command execution: %v", err)
	}
}
