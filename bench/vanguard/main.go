// A gateway of vanguard-go: its transcoder in front of Go's reverse proxy.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"

	"connectrpc.com/vanguard"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

const service = "polytomic.connections.v1.PartnerSharedConnectionsService"

// Go's default of two would close most connections after each burst.
const idleConnections = 1024

func main() {
	listen := flag.String("listen", "", "address")
	upstream := flag.String("upstream", "", "URL of the upstream, without a path")
	caFile := flag.String("ca-file", "", "PEM file of the certificate that is trusted")
	descriptors := flag.String("descriptors", "", "descriptor set")
	flag.Parse()

	transcoder, err := vanguard.NewTranscoder([]*vanguard.Service{
		vanguard.NewServiceWithSchema(
			schema(*descriptors),
			proxy(*upstream, *caFile),
			vanguard.WithTargetProtocols(vanguard.ProtocolREST),
			vanguard.WithTargetCodecs(vanguard.CodecJSON),
			vanguard.WithNoTargetCompression(),
		),
	}, vanguard.WithCodec(codec))
	check(err)
	server := http.Server{Addr: *listen, Handler: transcoder, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	log.Fatal(server.ListenAndServe())
}

// Polytomic names the fields of a body as the .proto does.
func codec(resolver vanguard.TypeResolver) vanguard.Codec {
	json := vanguard.NewJSONCodec(resolver)
	json.MarshalOptions.UseProtoNames = true
	json.MarshalOptions.EmitUnpopulated = false
	return json
}

func schema(path string) protoreflect.ServiceDescriptor {
	bytes, err := os.ReadFile(path)
	check(err)
	set := new(descriptorpb.FileDescriptorSet)
	check(proto.Unmarshal(bytes, set))
	// It serves one RPC per REST route, and the stream shares that of the list.
	for _, file := range set.File {
		for _, service := range file.Service {
			service.Method = slices.DeleteFunc(service.Method, (*descriptorpb.MethodDescriptorProto).GetServerStreaming)
		}
	}
	files, err := protodesc.NewFiles(set)
	check(err)
	found, err := files.FindDescriptorByName(service)
	check(err)
	return found.(protoreflect.ServiceDescriptor)
}

func proxy(upstream, caFile string) http.Handler {
	target, err := url.Parse(upstream)
	check(err)
	pem, err := os.ReadFile(caFile)
	check(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatalf("no certificate in %s", caFile)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) { request.SetURL(target) },
		Transport: &http.Transport{
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        idleConnections,
			MaxIdleConnsPerHost: idleConnections,
			TLSClientConfig:     &tls.Config{RootCAs: roots},
		},
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
