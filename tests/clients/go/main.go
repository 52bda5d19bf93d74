// Command client makes one call with grpc-go and code generated from proto/.
//
// It reads {"rpc", "request", "metadata", "tls"} as JSON from standard input. The
// last is null or the paths {"ca", "certificate", "key"} of PEM files, of which the
// last two may be null. It prints {"response"} or the google.rpc.Status of the failure. Of a stream, it
// prints {"received", "first", "last"}: how many connections, and the ids of two.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	// Without this import, the details of a failure stay bytes.
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"

	connectionsv1 "polytomic-gateway/tests/clients/go/gen/polytomic/connections/v1"
)

type job struct {
	RPC      string            `json:"rpc"`
	Request  json.RawMessage   `json:"request"`
	Metadata map[string]string `json:"metadata"`
	Timeout  int               `json:"timeout"`
	TLS      *files            `json:"tls"`
}

type files struct {
	CA          string `json:"ca"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

type received struct {
	Received int    `json:"received"`
	First    string `json:"first"`
	Last     string `json:"last"`
}

func main() {
	j := job{Timeout: 20}
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(transport(j.TLS)))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(j.Timeout)*time.Second)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(j.Metadata))

	client := connectionsv1.NewPartnerSharedConnectionsServiceClient(conn)
	if j.RPC == "StreamPartnerSharedConnections" {
		outcome, err := receive(ctx, client, j)
		printOutcome(outcome, err)
		return
	}
	response, err := call(ctx, client, j)
	if err != nil {
		printOutcome(nil, err)
		return
	}
	fmt.Printf("{\"response\": %s}\n", protojson.Format(response))
}

func transport(f *files) credentials.TransportCredentials {
	if f == nil {
		return insecure.NewCredentials()
	}
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots}
	if f.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
		if err != nil {
			log.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config)
}

func printOutcome(outcome any, err error) {
	if err != nil {
		fmt.Println(protojson.Format(status.Convert(err).Proto()))
		return
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcome); err != nil {
		log.Fatal(err)
	}
}

// receive counts the messages of a stream.
func receive(ctx context.Context, client connectionsv1.PartnerSharedConnectionsServiceClient, j job) (*received, error) {
	request := &connectionsv1.StreamPartnerSharedConnectionsRequest{}
	if err := protojson.Unmarshal(j.Request, request); err != nil {
		log.Fatal(err)
	}
	stream, err := client.StreamPartnerSharedConnections(ctx, request)
	if err != nil {
		return nil, err
	}
	var r received
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return &r, nil
		}
		if err != nil {
			return nil, err
		}
		r.Received++
		r.Last = message.GetConnection().GetId()
		if r.First == "" {
			r.First = r.Last
		}
	}
}

func call(ctx context.Context, client connectionsv1.PartnerSharedConnectionsServiceClient, j job) (proto.Message, error) {
	switch j.RPC {
	case "ListPartnerSharedConnections":
		request := &connectionsv1.ListPartnerSharedConnectionsRequest{}
		if err := protojson.Unmarshal(j.Request, request); err != nil {
			log.Fatal(err)
		}
		return client.ListPartnerSharedConnections(ctx, request)
	case "CreatePartnerSharedConnection":
		request := &connectionsv1.CreatePartnerSharedConnectionRequest{}
		if err := protojson.Unmarshal(j.Request, request); err != nil {
			log.Fatal(err)
		}
		return client.CreatePartnerSharedConnection(ctx, request)
	}
	log.Fatalf("no such RPC: %s", j.RPC)
	return nil, nil
}
