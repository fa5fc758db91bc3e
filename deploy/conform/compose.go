package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Services that do one thing and end: nothing can be asked of their health.
var once = map[string]bool{"topics": true}

// compose reads the file as docker compose does (schema, interpolation, merging, references between services), all profiles on,
// and then looks for what compose lets pass.
func compose(path string) (complaints, string, error) {
	environment := []string{}
	example := filepath.Join(filepath.Dir(path), ".env.example")
	options, err := cli.NewProjectOptions([]string{path},
		cli.WithProfiles([]string{"*"}), cli.WithEnvFiles(example), cli.WithEnv(environment), cli.WithDotEnv)
	if err != nil {
		return nil, "", err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, "", err
	}
	var wrong complaints
	for name, service := range project.Services {
		wrong = append(wrong, one(name, service)...)
	}
	for name, secret := range project.Secrets {
		if secret.File == "" {
			wrong.add("secret %s is not a file", name)
		}
	}
	return wrong, fmt.Sprintf("%d services, %d secrets, %d volumes", len(project.Services), len(project.Secrets), len(project.Volumes)), nil
}

func one(name string, service types.ServiceConfig) (wrong complaints) {
	if service.HealthCheck == nil && !once[name] {
		wrong.add("service %s has no health check: whoever waits for it waits for its process only", name)
	}
	if service.Deploy == nil || service.Deploy.Resources.Limits == nil || service.Deploy.Resources.Limits.MemoryBytes == 0 {
		wrong.add("service %s has no limit of memory", name)
	}
	if service.Restart == "" && !once[name] {
		wrong.add("service %s is not started again when it ends", name)
	}
	if service.Build == nil && (strings.HasSuffix(service.Image, ":latest") || !strings.Contains(service.Image, ":")) {
		wrong.add("service %s takes whatever image is newest: %s", name, service.Image)
	}
	for _, port := range service.Ports {
		if port.HostIP == "" {
			wrong.add("service %s opens port %s to every network of the host", name, port.Published)
		}
	}
	for _, volume := range service.Volumes {
		if volume.Type == types.VolumeTypeBind {
			if _, err := os.Stat(volume.Source); err != nil {
				wrong.add("service %s mounts %s, which is not there", name, volume.Source)
			}
		}
	}
	for key, value := range service.Environment {
		if value != nil && *value != "" && strings.HasSuffix(strings.ToUpper(key), "PASSWORD") {
			wrong.add("service %s has a password in its environment (%s): use a secret", name, key)
		}
	}
	return wrong
}
