// A client for any call of the Kubernetes CRI: the request comes as JSON, the answer goes out as JSON.
//
// usage: cri-client SOCKET [Service/]Method [JSON]     one call; Service is RuntimeService unless given
//
//	cri-client SOCKET -                               one call per input line "Method JSON", one answer line for each:
//	                                                  {"ok": ANSWER} or {"error": TEXT, "code": NAME}
//
// Exit status: 0, or 1 with the error on stderr.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const limit = 120 * time.Second

func call(connection *grpc.ClientConn, name, request string) ([]byte, error) {
	service, method, found := strings.Cut(name, "/")
	if !found {
		service, method = "RuntimeService", name
	}
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("runtime.v1." + service + "." + method))
	if err != nil {
		return nil, fmt.Errorf("the CRI has no method %s: %w", name, err)
	}
	types := descriptor.(protoreflect.MethodDescriptor)
	in, err := protoregistry.GlobalTypes.FindMessageByName(types.Input().FullName())
	if err != nil {
		return nil, err
	}
	out, err := protoregistry.GlobalTypes.FindMessageByName(types.Output().FullName())
	if err != nil {
		return nil, err
	}
	question, answer := in.New().Interface(), out.New().Interface()
	if request != "" {
		if err := protojson.Unmarshal([]byte(request), question); err != nil {
			return nil, fmt.Errorf("request of %s: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := connection.Invoke(ctx, "/runtime.v1."+service+"/"+method, question, answer); err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(answer)
}

func serveLines(connection *grpc.ClientConn) {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		name, request, _ := strings.Cut(strings.TrimSpace(line), " ")
		answer, err := call(connection, name, request)
		var out []byte
		if err != nil {
			out, _ = json.Marshal(map[string]string{"error": status.Convert(err).Message(), "code": status.Code(err).String()})
		} else {
			out, _ = json.Marshal(map[string]json.RawMessage{"ok": answer})
		}
		fmt.Println(string(out))
	}
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: cri-client SOCKET [Service/]Method|- [JSON]")
		os.Exit(1)
	}
	connection, err := grpc.NewClient("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer connection.Close()
	if os.Args[2] == "-" {
		serveLines(connection)
		return
	}
	answer, err := call(connection, os.Args[2], strings.Join(os.Args[3:], " "))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(answer))
}
