// What the pods of the tests run. It is static, so it resolves names where there is no C library.
//
//	lab-app serve [ADDRESS]   answers every request with its host name (default :8080)
//	lab-app fetch URL         prints what is there; fails if nothing is
//	lab-app api PATH          the same with the cluster's API, as the pod's service account
//	lab-app sleep             until it is asked to end
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func fetch(client *http.Client, url, token string) {
	client.Timeout = 5 * time.Second
	request := must(http.NewRequest(http.MethodGet, url, nil))
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response := must(client.Do(request))
	fmt.Println(response.Status)
	must(io.Copy(os.Stdout, response.Body))
	if response.StatusCode >= 400 {
		os.Exit(1)
	}
}

func serve(address string) {
	host := must(os.Hostname())
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from", host) })
	log.Fatal(http.ListenAndServe(address, nil))
}

func main() {
	// The first process of a container ends by a signal only if it asks for it.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	arguments := append(os.Args[1:], "", "")
	switch arguments[0] {
	case "serve":
		address := arguments[1]
		if address == "" {
			address = ":8080"
		}
		go serve(address)
		<-stop
	case "fetch":
		fetch(&http.Client{}, arguments[1], "")
	case "api":
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(must(os.ReadFile(account + "ca.crt")))
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		fetch(client, "https://kubernetes.default.svc"+arguments[1], string(must(os.ReadFile(account+"token"))))
	case "sleep":
		<-stop
	default:
		log.Fatal("usage: lab-app serve [ADDRESS] | fetch URL | api PATH | sleep")
	}
}
