// Command mesh makes creates with grpc-go, for tests/mesh, as many at a time as it reads.
//
//	mesh SERVICE_CONFIG
//
// Each line of standard input is a call, each line of the output its outcome, in JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	connectionsv1 "polytomic-gateway/tests/clients/go/gen/polytomic/connections/v1"
)

const details = "grpc-status-details-bin"

type job struct {
	Number   int               `json:"number"`
	Address  string            `json:"address"`
	Retries  bool              `json:"retries"`
	Request  json.RawMessage   `json:"request"`
	Metadata map[string]string `json:"metadata"`
	Seconds  float64           `json:"seconds"`
}

type outcome struct {
	Number   int               `json:"number"`
	Code     uint32            `json:"code"`
	Message  string            `json:"message"`
	Share    string            `json:"share"`
	Metadata map[string]string `json:"metadata"`
	Details  []byte            `json:"details"`
}

// target names a channel: with a retry policy or without.
type target struct {
	address string
	retries bool
}

func main() {
	config, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	clients := map[target]connectionsv1.PartnerSharedConnectionsServiceClient{}
	jobs := json.NewDecoder(os.Stdin)
	outcomes := json.NewEncoder(os.Stdout)
	var printing sync.Mutex
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		var j job
		if err := jobs.Decode(&j); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		to := target{j.Address, j.Retries}
		client, ok := clients[to]
		if !ok {
			client = newClient(to, string(config))
			clients[to] = client
		}
		calls.Go(func() {
			ended := create(client, j)
			printing.Lock()
			defer printing.Unlock()
			if err := outcomes.Encode(ended); err != nil {
				log.Fatal(err)
			}
		})
	}
}

func newClient(to target, config string) connectionsv1.PartnerSharedConnectionsServiceClient {
	policy := grpc.WithDisableRetry()
	if to.retries {
		policy = grpc.WithDefaultServiceConfig(config)
	}
	conn, err := grpc.NewClient(to.address, grpc.WithTransportCredentials(insecure.NewCredentials()), policy)
	if err != nil {
		log.Fatal(err)
	}
	return connectionsv1.NewPartnerSharedConnectionsServiceClient(conn)
}

func create(client connectionsv1.PartnerSharedConnectionsServiceClient, j job) outcome {
	request := &connectionsv1.CreatePartnerSharedConnectionRequest{}
	if err := protojson.Unmarshal(j.Request, request); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(j.Seconds*float64(time.Second)))
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(j.Metadata))

	var header, trailer metadata.MD
	response, err := client.CreatePartnerSharedConnection(ctx, request, grpc.Header(&header), grpc.Trailer(&trailer))
	ended := outcome{
		Number:   j.Number,
		Code:     uint32(status.Code(err)),
		Message:  status.Convert(err).Message(),
		Share:    response.GetConnection().GetId(),
		Metadata: map[string]string{},
	}
	both := maps.Clone(header)
	if both == nil {
		both = metadata.MD{}
	}
	maps.Copy(both, trailer)
	for name, values := range both {
		if name == details {
			ended.Details = []byte(values[0])
		} else {
			ended.Metadata[name] = values[0]
		}
	}
	return ended
}
