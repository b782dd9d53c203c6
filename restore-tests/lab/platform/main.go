// The programs of a small API platform, which keeps its data as real ones do: tokens in Cassandra, metrics in MySQL, events in
// OpenSearch, files in a volume.
//
//	lab-api wait cassandra|mysql|analytics|URL   returns once it answers; init containers run it
//	lab-api admin                      makes the schema, and knows which gateways live
//	lab-api manager                    issues tokens
//	lab-api gateway                    answers whoever shows a token, meters it, and tells analytics of it
//	lab-api portal FOLDER              takes and gives files
//	lab-api purge                      removes metrics of last month
//
// Servers listen on port 8080, and answer /ready when all that they need does. Where the databases are stands in the environment: see databases.go and analytics.go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience is the longest wait for an answer of anything else.
const patience = 10 * time.Second

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// answer writes JSON.
func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

// refuse says what did not work.
func refuse(w http.ResponseWriter, err error) {
	log.Print(err)
	answer(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})
}

// serve answers until it is asked to end; then it finishes what it has begun.
func serve(ready func() error) {
	http.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	stop, forget := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer forget()
	server := http.Server{Addr: ":8080"}
	go func() {
		<-stop.Done()
		ending, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		server.Shutdown(ending)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// reach fails unless a URL answers well.
func reach(url string) error {
	client := http.Client{Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(url + " says " + response.Status)
	}
	return nil
}

// wait returns once something answers.
func wait(what string) {
	ask := func() error { return reach(what) }
	switch what {
	case "cassandra":
		ask = func() error { return ping(openCassandra()) }
	case "mysql":
		ask = func() error { return must(openMySQL()).Ping() }
	case "analytics":
		ask = func() error { return reach(analytics()) }
	}
	for err := ask(); err != nil; err = ask() {
		log.Printf("waiting for %s: %v", what, err)
		time.Sleep(500 * time.Millisecond)
	}
}

func main() {
	arguments := append(os.Args[1:], "", "")
	switch arguments[0] {
	case "wait":
		wait(arguments[1])
	case "admin":
		admin()
	case "manager":
		manager()
	case "gateway":
		gateway()
	case "portal":
		portal(arguments[1])
	case "purge":
		must(must(openMySQL()).Exec("delete from apim.metrics where at < now() - interval 1 month"))
	default:
		log.Fatal("usage: lab-api wait cassandra|mysql|analytics|URL | admin | manager | gateway | portal FOLDER | purge")
	}
}
