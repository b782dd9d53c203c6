package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// gateway answers whoever shows a token, and writes down each answer before it gives it. ADMIN is the URL of the admin node.
func gateway() {
	d := connect()
	host := must(os.Hostname())
	http.HandleFunc("GET /api/{path...}", func(w http.ResponseWriter, r *http.Request) {
		var app string
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		err := gocql.ErrNotFound
		if token != "" {
			err = d.cassandra.Query("select app from apim.tokens where id = ?", token).Scan(&app)
		}
		switch {
		case errors.Is(err, gocql.ErrNotFound):
			answer(w, http.StatusUnauthorized, map[string]string{"error": "nobody has this token"})
			return
		case err == nil:
			request := cmp.Or(r.Header.Get("X-Request-Id"), rand.Text())
			if err = d.meter(request, app); err == nil {
				err = tell(event{request, app, r.PathValue("path"), host, time.Now().UTC()})
			}
		}
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, map[string]string{"app": app, "path": r.PathValue("path"), "gateway": host})
	})
	go func() {
		for ; ; time.Sleep(beat) {
			if response, err := http.Post(os.Getenv("ADMIN")+"/gateways/"+host, "", nil); err != nil {
				log.Print(err)
			} else {
				response.Body.Close()
			}
		}
	}()
	serve(func() error { return errors.Join(d.ready(), reach(analytics())) })
}

func (d databases) meter(request, app string) error {
	if err := d.cassandra.Query("update throttling.calls set calls = calls + 1 where app = ?", app).Exec(); err != nil {
		return err
	}
	_, err := d.mysql.Exec("insert into apim.metrics (request, app, at) values (?, ?, utc_timestamp(6))", request, app)
	return err
}
