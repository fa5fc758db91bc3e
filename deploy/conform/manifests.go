package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

// What a cluster would be given, as far as references between its parts need it.
type rendered struct {
	pods     map[string]core.PodTemplateSpec // by kind/name
	daemons  map[string]bool                 // those that run until they are stopped
	services map[string]*core.Service
	budgets  map[string]*policy.PodDisruptionBudget
	networks map[string]*network.NetworkPolicy
	config   map[string]bool
	secrets  map[string]map[string]string // made here; others are the site's own
	skipped  int                          // of kinds that the cluster learns from others (ServiceMonitor)
}

// manifests decodes strictly: an unknown field or one twice is refused, as `kubectl apply --validate=strict` would. Then it looks whether
// what names another object names one that is there.
func manifests(path string) (complaints, string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	all := rendered{
		pods: map[string]core.PodTemplateSpec{}, daemons: map[string]bool{}, services: map[string]*core.Service{},
		budgets: map[string]*policy.PodDisruptionBudget{}, networks: map[string]*network.NetworkPolicy{},
		config: map[string]bool{}, secrets: map[string]map[string]string{},
	}
	var wrong complaints
	objects := 0
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	buffer := make([]byte, 4<<20)
	for {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, "", err
		}
		document := buffer[:n]
		if len(bytes.TrimSpace(withoutComments(document))) == 0 {
			continue
		}
		objects++
		object, kind, err := strict.Decode(document, nil, nil)
		if runtime.IsNotRegisteredError(err) && kind != nil && kind.Group == "monitoring.coreos.com" {
			all.skipped++
			continue
		}
		if err != nil {
			wrong.add("object %d (%v): %v", objects, kind, err)
			continue
		}
		all.take(object, &wrong)
	}
	all.judge(&wrong)
	said := fmt.Sprintf("%d objects, %d of them workloads", objects, len(all.pods))
	if all.skipped > 0 {
		said += fmt.Sprintf("; %d of monitoring.coreos.com only read as YAML", all.skipped)
	}
	return wrong, said, nil
}

func withoutComments(document []byte) []byte {
	var kept [][]byte
	for _, line := range bytes.Split(document, []byte("\n")) {
		if trimmed := bytes.TrimSpace(line); !bytes.HasPrefix(trimmed, []byte("#")) && !bytes.Equal(trimmed, []byte("---")) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, []byte("\n"))
}

func (all *rendered) take(object runtime.Object, wrong *complaints) {
	named := object.(meta.Object)
	name := named.GetName()
	for _, fault := range validation.IsDNS1123Subdomain(name) {
		wrong.add("%T %q: %s", object, name, fault)
	}
	for key, value := range named.GetLabels() {
		for _, fault := range validation.IsValidLabelValue(value) {
			wrong.add("%T %s: label %s: %s", object, name, key, fault)
		}
	}
	switch it := object.(type) {
	case *apps.Deployment:
		all.workload("Deployment/"+name, it.Spec.Template, it.Spec.Selector, wrong)
	case *apps.StatefulSet:
		all.workload("StatefulSet/"+name, it.Spec.Template, it.Spec.Selector, wrong)
		if it.Spec.ServiceName == "" {
			wrong.add("StatefulSet %s names no service", name)
		}
	case *batch.Job:
		all.pods["Job/"+name] = it.Spec.Template
	case *core.Service:
		all.services[name] = it
	case *policy.PodDisruptionBudget:
		all.budgets[name] = it
	case *network.NetworkPolicy:
		all.networks[name] = it
	case *core.ConfigMap:
		all.config[name] = true
	case *core.Secret:
		all.secrets[name] = it.StringData
	}
}

func (all *rendered) workload(key string, template core.PodTemplateSpec, selector *meta.LabelSelector, wrong *complaints) {
	all.pods[key], all.daemons[key] = template, true
	if !selects(selector, template.Labels) {
		wrong.add("%s does not select its own pods", key)
	}
}

func selects(selector *meta.LabelSelector, of map[string]string) bool {
	match, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && !match.Empty() && match.Matches(labels.Set(of))
}

func (all *rendered) judge(wrong *complaints) {
	for key, template := range all.pods {
		all.pod(key, template.Spec, wrong)
	}
	for name, service := range all.services {
		all.target(name, service, wrong)
	}
	for name, budget := range all.budgets {
		if !all.anyPod(budget.Spec.Selector) {
			wrong.add("PodDisruptionBudget %s is for no pod", name)
		}
	}
	for name, policy := range all.networks {
		if len(policy.Spec.PodSelector.MatchLabels) > 0 && !all.anyPod(&policy.Spec.PodSelector) {
			wrong.add("NetworkPolicy %s is for no pod", name)
		}
	}
}

func (all *rendered) anyPod(selector *meta.LabelSelector) bool {
	for _, template := range all.pods {
		if selects(selector, template.Labels) {
			return true
		}
	}
	return false
}

// A service leads to a port that one of its pods opens.
func (all *rendered) target(name string, service *core.Service, wrong *complaints) {
	for _, port := range service.Spec.Ports {
		found := false
		for _, template := range all.pods {
			if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(template.Labels)) {
				continue
			}
			for _, container := range template.Spec.Containers {
				for _, open := range container.Ports {
					found = found || open.Name == port.TargetPort.StrVal || open.ContainerPort == port.TargetPort.IntVal
				}
			}
		}
		if !found {
			wrong.add("Service %s: no pod opens port %s", name, port.TargetPort.String())
		}
	}
}

func (all *rendered) pod(key string, pod core.PodSpec, wrong *complaints) {
	if pod.SecurityContext == nil || pod.SecurityContext.RunAsNonRoot == nil || !*pod.SecurityContext.RunAsNonRoot {
		wrong.add("%s may run as root", key)
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
		if volume.ConfigMap != nil && !all.config[volume.ConfigMap.Name] {
			wrong.add("%s mounts the ConfigMap %s, which is not there", key, volume.ConfigMap.Name)
		}
		if volume.Secret != nil {
			all.secret(key, volume.Secret, wrong)
		}
	}
	for _, container := range pod.Containers {
		for _, mount := range container.VolumeMounts {
			if !volumes[mount.Name] {
				wrong.add("%s mounts the volume %s, which is not there", key, mount.Name)
			}
		}
		if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() {
			wrong.add("%s: %s says not what it needs (a limit of memory, a request of CPU)", key, container.Name)
		}
		restricted := container.SecurityContext
		if restricted == nil || restricted.ReadOnlyRootFilesystem == nil || !*restricted.ReadOnlyRootFilesystem {
			wrong.add("%s: %s may write to its image", key, container.Name)
		}
		if all.daemons[key] {
			probes(key, container, wrong)
		}
	}
}

func (all *rendered) secret(key string, mounted *core.SecretVolumeSource, wrong *complaints) {
	keys, made := all.secrets[mounted.SecretName]
	for _, item := range mounted.Items {
		if _, known := keys[item.Key]; made && !known {
			wrong.add("%s mounts %s of the Secret %s, which has no such key", key, item.Key, mounted.SecretName)
		}
	}
	if len(mounted.Items) == 0 {
		wrong.add("%s sees every key of the Secret %s", key, mounted.SecretName)
	}
}

func probes(key string, container core.Container, wrong *complaints) {
	for path, probe := range map[string]*core.Probe{"/livez": container.LivenessProbe, "/readyz": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path {
			wrong.add("%s: %s is not asked for %s", key, container.Name, path)
			continue
		}
		found := false
		for _, open := range container.Ports {
			found = found || open.Name == probe.HTTPGet.Port.StrVal
		}
		if !found {
			wrong.add("%s: %s asks a port %s that is not opened", key, path, probe.HTTPGet.Port.String())
		}
	}
}
