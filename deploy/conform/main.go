// Command conform checks the files of deploy/ as far as they can be checked without a cluster, and without running anything.
//
//	conform compose FILE         a compose file, read by the library that docker compose itself reads it with
//	conform manifests FILE       what `helm template` wrote, held against the types of the Kubernetes API
//	conform metrics REPOSITORY   alerts and dashboards: each metric, label and rule value that they name exists in the source
//
// It is not a linter of style: each complaint is of something that would not work, or that an operator would miss at night.
// Start with the function of the word; complaints go to standard error, one a line, and the exit code is 1 when there are any.
package main

import (
	"fmt"
	"os"
)

// A complaint says where, and what is wrong there.
type complaints []string

func (c *complaints) add(format string, arguments ...any) {
	*c = append(*c, fmt.Sprintf(format, arguments...))
}

func main() {
	checks := map[string]func(string) (complaints, string, error){
		"compose": compose, "manifests": manifests, "metrics": metrics,
	}
	if len(os.Args) != 3 || checks[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: conform compose|manifests|metrics PATH")
		os.Exit(64)
	}
	wrong, seen, err := checks[os.Args[1]](os.Args[2])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[2], err)
		os.Exit(1)
	}
	for _, complaint := range wrong {
		fmt.Fprintln(os.Stderr, complaint)
	}
	if len(wrong) > 0 {
		os.Exit(1)
	}
	fmt.Println(seen)
}
