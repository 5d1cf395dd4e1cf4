//go:build unix

package devserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/goleak"
)

// parentVariable makes the test binary be a program that starts a server and then waits to be killed.
const parentVariable = "CONCORD_DEVSERVER_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) != "" {
		beTheParent()
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, options Options) *Server {
	t.Helper()
	options.Progress = os.Stderr
	server, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func connect(t *testing.T, server *Server) client.Client {
	t.Helper()
	connection, err := client.Dial(client.Options{HostPort: server.Address(), Namespace: server.Namespace(), Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	return connection
}

func TestAStartedServerCanBeUsedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	server := start(t, Options{
		UI: true, Namespace: "shop",
		SearchAttributes: map[string]enums.IndexedValueType{"Extra": enums.INDEXED_VALUE_TYPE_INT},
		DynamicConfig:    map[string]string{"limit.historyCount.suggestContinueAsNew": "200"},
	})
	connection := connect(t, server)

	described, err := connection.WorkflowService().DescribeNamespace(t.Context(),
		&workflowservice.DescribeNamespaceRequest{Namespace: "shop"})
	if err != nil || described.GetNamespaceInfo().GetState() != enums.NAMESPACE_STATE_REGISTERED {
		t.Errorf("describe the namespace: %v, %v", described, err)
	}
	attributes, err := connection.OperatorService().ListSearchAttributes(t.Context(),
		&operatorservice.ListSearchAttributesRequest{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	want := SearchAttributes()
	want["Extra"] = enums.INDEXED_VALUE_TYPE_INT
	for name, kind := range want {
		if attributes.GetCustomAttributes()[name] != kind {
			t.Errorf("search attribute %s is %v, want %v", name, attributes.GetCustomAttributes()[name], kind)
		}
	}
	ui, err := http.Get(server.UIURL())
	if err != nil {
		t.Fatalf("open the Web UI: %v", err)
	}
	ui.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if ui.StatusCode != http.StatusOK {
		t.Errorf("the Web UI answers %s", ui.Status)
	}

	if server.Err() != nil {
		t.Errorf("a running server has the error %v", server.Err())
	}
	if err := errors.Join(server.Stop(), server.Stop()); err != nil {
		t.Errorf("stop, twice: %v", err)
	}
	<-server.Done()
	if server.Err() != nil {
		t.Errorf("after an orderly stop the error is %v", server.Err())
	}
	if group := -server.command.Process.Pid; !errors.Is(syscall.Kill(group, 0), syscall.ESRCH) {
		t.Errorf("a process of group %d is still there", -group)
	}
}

func TestADatabaseFileKeepsWorkflowsOverARestart(t *testing.T) {
	t.Parallel()
	options := Options{Database: filepath.Join(t.TempDir(), "temporal.db")}
	first := start(t, options)
	merchant := temporal.NewSearchAttributeKeyKeyword("MerchantId")
	if _, err := connect(t, first).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "merchant/one", TaskQueue: "nobody", TypedSearchAttributes: temporal.NewSearchAttributes(merchant.ValueSet("one")),
	}, "MerchantSync"); err != nil {
		t.Fatalf("start a workflow with a search attribute right after the start: %v", err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	// A database whose attributes are of another type is refused at once, with what to do.
	wrong := options
	wrong.SearchAttributes = map[string]enums.IndexedValueType{"MerchantId": enums.INDEXED_VALUE_TYPE_INT}
	if server, err := Start(t.Context(), wrong); !errors.Is(err, errOtherType) {
		if err == nil {
			_ = server.Stop()
		}
		t.Errorf("with an attribute of another type: got %v", err)
	}

	described, err := connect(t, start(t, options)).DescribeWorkflow(t.Context(), "merchant/one", "")
	if err != nil {
		t.Fatalf("the workflow is gone after a restart: %v", err)
	}
	if got, _ := described.TypedSearchAttributes.GetKeyword(merchant); got != "one" {
		t.Errorf("its MerchantId is %q, want %q", got, "one")
	}
}

func TestAServerThatDiesSaysHow(t *testing.T) {
	t.Parallel()
	server := start(t, Options{})
	if err := server.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	if err := server.Err(); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("got %v, want an error that says it was killed", err)
	}
}

func TestAFailedStartShowsWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().(*net.TCPAddr).Port
	for name, row := range map[string]struct {
		options Options
		want    string
	}{
		"directory missing":      {Options{Database: "/does/not/exist/temporal.db"}, "failed checking dir for database file"},
		"port taken":             {Options{Port: port}, fmt.Sprintf("can't set frontend port %d", port)},
		"UI port taken":          {Options{UI: true, UIPort: port}, fmt.Sprintf("can't set UI port %d", port)},
		"dynamic config no JSON": {Options{DynamicConfig: map[string]string{"a.b": "{"}}, "a.b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.options.Progress = os.Stderr
			server, err := Start(t.Context(), row.options)
			if err == nil {
				_ = server.Stop()
				t.Fatal("started, want an error")
			}
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %q, want it to hold %q", err, row.want)
			}
		})
	}
}

func TestACancelledStartLeavesNoProcess(t *testing.T) {
	t.Parallel()
	cli, err := EnsureCLI(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	server, err := startOnce(ctx, cli, Options{Namespace: DefaultNamespace})
	if err == nil {
		_ = server.Stop()
		t.Fatal("started, want an error")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancelled context", err)
	}
	// goleak, in TestMain, fails if the goroutine that waits for the process is still there.
}

func beTheParent() {
	server, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.Address())
	<-server.Done()
	os.Exit(1)
}

func TestTheServerDiesWithAKilledParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tie a child's life to its parent's")
	}
	if _, err := EnsureCLI(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"=1")
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		_ = parent.Wait()
		t.Fatalf("the parent did not say its server's address: %v", err)
	}
	connection, err := net.Dial("tcp", strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	// The connection breaks when the server's process is gone; a server that lives on would keep it open.
	if err := connection.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, connection); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server outlived its killed parent by 20 s")
	}
}

func TestTheServerGetsNoSettingsOfOurs(t *testing.T) {
	t.Setenv("CONCORD_MASTER_KEY", "a secret")
	t.Setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
	for _, variable := range serverEnvironment() {
		if strings.HasPrefix(variable, "CONCORD_") || strings.HasPrefix(variable, "TEMPORAL_") {
			t.Errorf("the server gets %s", variable)
		}
	}
}
