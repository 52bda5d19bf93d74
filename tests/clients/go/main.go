// Command client makes one call with grpc-go and code generated from proto/.
//
// It reads {"rpc", "request", "metadata"} as JSON from standard input, and
// prints {"response"} or the google.rpc.Status of the failure.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
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
}

func main() {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(j.Metadata))

	response, err := call(ctx, connectionsv1.NewPartnerSharedConnectionsServiceClient(conn), j)
	if err != nil {
		fmt.Println(protojson.Format(status.Convert(err).Proto()))
		return
	}
	fmt.Printf("{\"response\": %s}\n", protojson.Format(response))
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
