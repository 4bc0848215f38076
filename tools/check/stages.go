package main

// stages are listed in the order in which they run: the quick ones first.
var stages = [...]stage{
	{"vet", "go vet, of the host's programs and of the unikernels; staticcheck", []command{
		{argv: []string{"go", "vet", "./..."}},
		{argv: []string{"go", "run", "./tools/baremetal", "vet"}},
		{argv: []string{"go", "tool", "-modfile=tools/check/lint/go.mod", "staticcheck", "./..."}},
	}},
	{"unit", "unit tests and the seeds of the fuzz targets", []command{
		{argv: []string{"go", "test", "-timeout", "20m", "./..."}},
	}},
	{"everyday", "what people do with a TPM every day, by Debian's programs", []command{
		{argv: []string{"go", "run", "./tools/deps", "-for", "everyday"}},
		{env: []string{"STUBTPM_EVERYDAY=1"}, argv: []string{"go", "test", "-count", "1", "-timeout", "10m", "./tools/everyday"}},
	}},
	{"conformance", "other projects' test suites, unchanged, on this device", []command{
		{dir: "tools/conformance", argv: []string{"go", "run", ".", "-without", "debian/"}},
	}},
	{"verifiers", "other projects' verifiers, unchanged, on certificates and quotes of this device", []command{
		{dir: "tools/verifiers", env: []string{"CGO_ENABLED=0"}, argv: []string{"go", "test", "-count", "1", "./..."}},
	}},
	{"fleet", "which host owns which vTPM: three processes of Debian's etcd, cut off from each other and killed", []command{
		{argv: []string{"go", "run", "./tools/deps", "-for", "fleet"}},
		{dir: "tools/fleet", env: []string{"CGO_ENABLED=0"}, argv: []string{"go", "test", "-count", "1", "-timeout", "3m", "./..."}},
	}},
	{"baremetal", "the same bytes from two directories; a minute of garbage collection; the standard library's own tests", []command{
		{argv: []string{"go", "run", "./tools/baremetal", "repro", "./stubdom/runtimetest", "./stubdom/vtpm", "./stubdom/vtpmmgr"}},
		{env: []string{"RUNTIMETEST_GC=60s"}, argv: []string{"go", "test", "-count", "1", "-timeout", "20m", "./stubdom/runtimetest"}},
		{argv: []string{"go", "run", "./tools/baremetal", "stdtest"}},
	}},
	{"xen", "manager, vTPM and guest on a real Xen in QEMU", []command{
		{env: []string{"STUBTPM_XEN=1"}, argv: []string{"go", "test", "-timeout", "60m", "-count", "1", "-run", "Xen", "./tools/xenlab/..."}},
	}},
}
