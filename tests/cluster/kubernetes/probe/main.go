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
		answer, err := client.Get(url)
		if err != nil {
			return err
		}
		answer.Body.Close()
		fmt.Fprintf(&report, "%s answered %d\n", url, answer.StatusCode)
	}
	fmt.Print(report.String())
	return os.WriteFile("/dev/termination-log", []byte(report.String()), 0o600)
}
