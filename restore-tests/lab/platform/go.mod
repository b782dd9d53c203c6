module hourglass.test/platform

go 1.26.0

require (
	github.com/go-sql-driver/mysql v1.10.1
	github.com/gocql/gocql v1.7.0
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/golang/snappy v0.0.3 // indirect
	github.com/hailocab/go-hostpool v0.0.0-20160125115350-e80d13ce29ed // indirect
	gopkg.in/inf.v0 v0.9.1 // indirect
)
