// What the cluster's own test runs in pods.
//
//	probe listen ADDRESS   answers every HTTP request with "here"
//	probe URL...           fetches each and writes what came of it to the log and as the termination message
package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

const patience = 20 * time.Second

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == "listen" {
		err = listen(os.Args[2])
	} else {
		err = fetch(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func listen(address string) error {
	return http.ListenAndServe(address, http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, "here")
	}))
}

func fetch(urls []string) error {
	// The answer proves the route; whose certificate it carries is not the question.
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	var report strings.Builder
	for _, url := range urls {
		status, err := get(&client, url)
		if err != nil {
			return err
		}
		fmt.Fprintf(&report, "%s answered %d\n", url, status)
	}
	fmt.Print(report.String())
	return os.WriteFile("/dev/termination-log", []byte(report.String()), 0o600)
}

// get retries for a while: a Service answers only once its first pod is ready and known to the node.
func get(client *http.Client, url string) (int, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		answer, err := client.Get(url)
		if err == nil {
			return answer.StatusCode, answer.Body.Close()
		}
		if time.Now().After(deadline) {
			return 0, err
		}
	}
}
