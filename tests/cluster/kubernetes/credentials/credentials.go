// Package credentials writes every key, certificate and kubeconfig of one local cluster.
package credentials

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// request is what the caller asks for; every field is a flag of the same name.
type request struct {
	dir, cluster, address, serviceAddress, node string
}

// user is one component's identity and becomes the file NAME.kubeconfig.
type user struct {
	name, commonName string
	groups           []string
}

// Run reads the arguments of the command and writes the files into --dir, replacing what is there.
func Run(arguments []string) error {
	var want request
	flags := flag.NewFlagSet("credentials", flag.ContinueOnError)
	flags.StringVar(&want.dir, "dir", "", "folder the files are written into")
	flags.StringVar(&want.cluster, "cluster", "", "name of the cluster and of the context in the kubeconfigs")
	flags.StringVar(&want.address, "address", "", "IP address the API server listens on")
	flags.StringVar(&want.serviceAddress, "service-address", "", "IP address of the service kubernetes.default")
	flags.StringVar(&want.node, "node", "", "name of the node")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	addresses := []net.IP{net.ParseIP(want.address), net.ParseIP(want.serviceAddress), net.IPv4(127, 0, 0, 1)}
	for _, address := range addresses {
		if address == nil {
			return fmt.Errorf("--address %q and --service-address %q must be IP addresses", want.address, want.serviceAddress)
		}
	}
	if want.dir == "" || want.cluster == "" || want.node == "" {
		return fmt.Errorf("--dir, --cluster and --node must be given")
	}
	if err := os.MkdirAll(want.dir, 0o700); err != nil {
		return err
	}
	return want.write(addresses)
}

func (want request) write(addresses []net.IP) error {
	ca, err := newAuthority("trackway-" + want.cluster)
	if err != nil {
		return err
	}
	serving, err := ca.server("kube-apiserver", []string{
		"localhost", want.node, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, addresses)
	if err != nil {
		return err
	}
	kubelet, err := ca.client("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	tokens, err := signingKey()
	if err != nil {
		return err
	}
	pairs := map[string]pair{"ca": ca.pair, "apiserver": serving, "apiserver-kubelet": kubelet, "service-accounts": tokens}
	for name, pair := range pairs {
		if err := want.file(name+".crt", pair.certificate); err != nil {
			return err
		}
		if err := want.file(name+".key", pair.key); err != nil {
			return err
		}
	}
	return want.kubeconfigs(ca)
}

func (want request) kubeconfigs(ca *authority) error {
	users := []user{
		{name: "admin", commonName: "admin", groups: []string{"system:masters"}},
		{name: "kube-controller-manager", commonName: "system:kube-controller-manager"},
		{name: "kube-scheduler", commonName: "system:kube-scheduler"},
		{name: "kubelet", commonName: "system:node:" + want.node, groups: []string{"system:nodes"}},
		{name: "kube-proxy", commonName: "system:kube-proxy"},
		{name: "coredns", commonName: "system:coredns"},
	}
	for _, user := range users {
		signed, err := ca.client(user.commonName, user.groups...)
		if err != nil {
			return err
		}
		context := want.cluster
		config := clientcmdapi.NewConfig()
		config.Clusters[context] = &clientcmdapi.Cluster{
			Server:                   "https://" + net.JoinHostPort(want.address, "6443"),
			CertificateAuthorityData: ca.certificate,
		}
		config.AuthInfos[user.name] = &clientcmdapi.AuthInfo{ClientCertificateData: signed.certificate, ClientKeyData: signed.key}
		config.Contexts[context] = &clientcmdapi.Context{Cluster: context, AuthInfo: user.name}
		config.CurrentContext = context
		encoded, err := clientcmd.Write(*config)
		if err != nil {
			return err
		}
		if err := want.file(user.name+".kubeconfig", encoded); err != nil {
			return err
		}
	}
	return nil
}

// signingKey is the key pair of service account tokens; its public half stands where a pair has its certificate.
func signingKey() (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return pair{}, err
	}
	// The controller manager reads only this encoding of an elliptic key.
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
	}, nil
}

func (want request) file(name string, content []byte) error {
	return os.WriteFile(filepath.Join(want.dir, name), content, 0o600)
}
