package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"log"
	"net"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/gocql/gocql"
)

// certificates is a folder with our own certificate, which Cassandra asks for, and with the authority that both databases' are of.
const certificates = "/tls/"

func secured(host string) *tls.Config {
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(must(os.ReadFile(certificates + "ca.crt")))
	own := must(tls.LoadX509KeyPair(certificates+"tls.crt", certificates+"tls.key"))
	return &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{own}, ServerName: host}
}

// openCassandra connects to the node CASSANDRA_HOST as CASSANDRA_USER with CASSANDRA_PASSWORD.
func openCassandra() (*gocql.Session, error) {
	host := os.Getenv("CASSANDRA_HOST")
	cluster := gocql.NewCluster(host)
	cluster.Authenticator = gocql.PasswordAuthenticator{Username: os.Getenv("CASSANDRA_USER"), Password: os.Getenv("CASSANDRA_PASSWORD")}
	cluster.SslOpts = &gocql.SslOptions{Config: secured(host)}
	cluster.Consistency = gocql.LocalQuorum
	cluster.Timeout, cluster.ConnectTimeout = patience, patience
	return cluster.CreateSession()
}

func ping(session *gocql.Session, err error) error {
	if err != nil {
		return err
	}
	defer session.Close()
	return alive(session)
}

func alive(session *gocql.Session) error {
	return session.Query("select release_version from system.local").Exec()
}

// openMySQL connects to the server MYSQL_HOST as MYSQL_USER with MYSQL_PASSWORD, when it is first asked.
func openMySQL() (*sql.DB, error) {
	host := os.Getenv("MYSQL_HOST")
	config := mysql.NewConfig()
	config.User, config.Passwd = os.Getenv("MYSQL_USER"), os.Getenv("MYSQL_PASSWORD")
	config.Net, config.Addr = "tcp", net.JoinHostPort(host, "3306")
	config.TLS = secured(host)
	config.Timeout, config.ReadTimeout, config.WriteTimeout = patience, patience, patience
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// databases are both, connected. They come back by themselves when a server does.
type databases struct {
	cassandra *gocql.Session
	mysql     *sql.DB
}

func connect() databases {
	session, err := openCassandra()
	for ; err != nil; session, err = openCassandra() {
		log.Printf("waiting for Cassandra: %v", err)
		time.Sleep(time.Second)
	}
	return databases{session, must(openMySQL())}
}

// ready fails unless both answer.
func (d databases) ready() error {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(alive(d.cassandra), d.mysql.PingContext(limited))
}
