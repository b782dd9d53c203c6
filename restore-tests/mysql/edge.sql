-- What is easy to lose, on MariaDB and on MySQL 8. {db} and {other} are the names of two databases, quoted.
set names utf8mb4, time_zone = '+00:00';
set sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
set foreign_key_checks = 0;
create database {db} default character set latin1 collate latin1_german1_ci;
create database {other};
use {db};
create table floats (id int primary key, f float, d double, n decimal(65, 30));
insert into floats values (1, 0.1, 0.1, 1e-30), (2, 3.4028234e38, 1.7976931348623157e308, -99999999999999999999999999999999999.9), (3, 1.17549e-38, 5e-324, 0), (4, 16777217, 9007199254740993, null),
    (5, -0.0, -0.0, 1), (6, 123456.789, 2.2250738585072014e-308, 2);
create table `we``ird tab-le.x/ä` (`a b` int primary key, `c``d` text, `%/..` int, `select` varchar(10) not null default '', key `k``ey` (`%/..`));
insert into `we``ird tab-le.x/ä` values (1, 'tab\there\nline\\N \0 zero ''quote" \r\n', 2, ''), (2, null, null, 'NULL'), (3, '\\N', 7, '\\');
create table counted (id int unsigned not null auto_increment primary key, v int) auto_increment = 1000;
insert into counted values (0, 0), (5, 5);
create table zero_dates (id int primary key, d date, t datetime(6), ts timestamp null, y year, tm time(3), e enum('a', '', 'ü'), s set('x', 'y', 'z'));
insert into zero_dates values (1, '0000-00-00', '0000-00-00 00:00:00', '2038-01-19 03:14:07', 0, '-838:59:59', 'a', ''), (2, '2024-02-31', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01', 1901, '00:00:00.001', '', 'x,z'),
    (3, null, null, null, null, null, 'ü', null);
insert ignore into zero_dates (id, e) values (4, 'not a member');
create table charsets (id int primary key, l1 varchar(50) character set latin1, u4 varchar(50) character set utf8mb4, u16 varchar(50) character set utf16, b varbinary(300), fixed binary(5), c5 char(5));
insert into charsets values (1, _latin1 x'E4F6FC80', _utf8mb4 x'F09F9880C3A4', _utf16 x'00E400090000000A', x'00095C0A0DFF27', x'0100', 'ab   '), (2, '', '', '', '', '', '');
create table bits (id int primary key, b1 bit(1), b64 bit(64), b10 bit(10), blb longblob, g geometry, p point);
insert into bits values (1, b'1', x'FF00095C0A000000', b'1000001001', repeat(x'00090A5C27FF', 20000), st_geomfromtext('polygon((0 0, 10 0, 10 10, 0 10, 0 0))'), point(1.5, -2)), (2, b'0', 0, 0, '', null, null), (3, null, 9, b'0000001010', null, null, null);
create table no_key (a int, b varchar(20));
insert into no_key values (1, 'same'), (1, 'same'), (1, 'same'), (null, null), (null, null);
create table composite (tenant varchar(20) not null, n bigint not null, v json, primary key (tenant, n), unique key u (n, tenant), fulltext key f (tenant));
insert into composite values ('a', 1, '{"x": [1, 2.5, "ü\\n"], "y": null}'), ('b', -9223372036854775808, '[]'), ('B''', 2, null);
create table derived (id int primary key, a int, twice int generated always as (a * 2) virtual, thrice int generated always as (a * 3) stored, made timestamp not null default current_timestamp on update current_timestamp, key (thrice), key (twice));
insert into derived (id, a, made) values (1, 5, '2020-01-02 03:04:05'), (2, null, '2021-01-02 03:04:05');
create table parted (id bigint not null, day date not null, v varchar(10), primary key (id, day)) partition by range (year(day)) (partition p0 values less than (2020), partition `p 1` values less than (2024), partition pmax values less than maxvalue);
insert into parted values (1, '2019-05-05', 'a'), (2, '2021-05-05', 'b'), (3, '2025-05-05', 'c');
create table parted_by_text (name varchar(20) primary key) partition by key (name) partitions 3;
insert into parted_by_text values ('a'), ('b'), ('c'), ('d'), ('e');
create table parent (id int primary key, child int, constraint to_child foreign key (child) references child (id) on delete set null);
create table child (id int primary key, parent int not null, constraint to_parent foreign key (parent) references parent (id));
insert into parent values (1, 10);
insert into child values (10, 1);
create table {other}.elsewhere (id int primary key, p int, constraint across foreign key (p) references {db}.parent (id));
insert into {other}.elsewhere values (1, 1);
create table orphans (id int primary key, p int, constraint orphan foreign key (p) references parent (id));
insert into orphans values (1, 4711);
create table isam (id int primary key, t text, fulltext key (t)) engine = MyISAM;
insert into isam values (1, 'one'), (2, 'two');
create table empty_one (id int primary key) comment 'it''s "empty" `\\ \n KEY';
create view z_base as select id, f * 2 as doubled from floats;
create algorithm = merge sql security invoker view a_on_top as select z_base.id, e.p from z_base join {other}.elsewhere e on e.id = z_base.id with cascaded check option;
create definer = 'nobody'@'nowhere' view by_nobody as select 1 as one;
create view broken as select * from counted;
alter table counted rename to counted_away;
alter table counted_away comment 'renamed after a view was made of it';
delimiter //
create function plus_one(n int) returns int deterministic comment 'ü' return n + 1//
set sql_mode = 'ANSI_QUOTES,NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES'//
create procedure odd(in "a b" int, out r varchar(20) character set utf8mb4) modifies sql data sql security invoker
begin
    declare text varchar(20) default 'it''s ä';
    insert into no_key values ("a b", text);
    set r = text;
end//
set sql_mode = 'NO_AUTO_VALUE_ON_ZERO'//
create trigger second before insert on counted_away for each row set new.v = coalesce(new.v, 0) + 1//
create trigger first before insert on counted_away for each row precedes second set new.v = coalesce(new.v, 0) * 10//
set time_zone = '+05:00'//
create event nightly on schedule every 1 day starts '2035-01-01 00:00:00' on completion preserve enable comment 'ON COMPLETION' do insert into no_key values (9, 'event')//
create event off on schedule every 1 hour starts '2035-01-01 00:00:00' disable do set @x = 1//
delimiter ;
