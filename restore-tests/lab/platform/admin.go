package main

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// stale is how long a gateway that says nothing counts as alive.
const stale = 10 * time.Second

// beat is how often a gateway says that it lives.
const beat = time.Second

func (d databases) makeSchema() {
	var datacentre string
	must(0, d.cassandra.Query("select data_center from system.local").Scan(&datacentre))
	replication := "{'class': 'NetworkTopologyStrategy', '" + datacentre + "': 1}"
	for _, statement := range []string{
		"create keyspace if not exists apim with replication = " + replication,
		"create keyspace if not exists throttling with replication = " + replication,
		"create table if not exists apim.tokens (id text primary key, app text, issued timestamp)",
		"create table if not exists throttling.calls (app text primary key, calls counter)",
	} {
		must(0, d.cassandra.Query(statement).Exec())
	}
	must(d.mysql.Exec("create database if not exists apim"))
	must(d.mysql.Exec("create table if not exists apim.metrics (id bigint auto_increment primary key, " +
		"request varchar(64) not null unique, app varchar(64) not null, at datetime(6) not null)"))
	must(0, makeIndex())
}

// admin makes the schema where there is none, and knows which gateways live, in its memory alone.
func admin() {
	d := connect()
	d.makeSchema()
	var lock sync.Mutex
	heard := map[string]time.Time{}
	http.HandleFunc("POST /gateways/{name}", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		heard[r.PathValue("name")] = time.Now()
		w.WriteHeader(http.StatusNoContent)
	})
	http.HandleFunc("GET /gateways", func(w http.ResponseWriter, _ *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		lives, silent := []string{}, []string{}
		for name, at := range heard {
			if time.Since(at) < stale {
				lives = append(lives, name)
			} else {
				silent = append(silent, name)
			}
		}
		slices.Sort(lives)
		slices.Sort(silent)
		answer(w, http.StatusOK, map[string][]string{"alive": lives, "stale": silent})
	})
	serve(d.ready)
}
