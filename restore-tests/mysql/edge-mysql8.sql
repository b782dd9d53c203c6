-- What MySQL 8 alone knows.
set names utf8mb4;
use {db};
create table documents (id int primary key, j json, k json not null, price decimal(10, 2) generated always as (json_extract(j, '$.price')) virtual, key (price), key many ((cast(json_extract(j, '$.n') as unsigned))));
insert into documents values (1, '{"price": 12.5, "text": "tab\\t \\"quoted\\" ä 😀", "n": 18446744073709551615}', '"text"', default), (2, null, 'null', default), (3, '[]', '{}', default);
create table described (id int primary key, a int, key down (a desc, id), key unseen (a) invisible) default charset utf8mb4 collate utf8mb4_0900_ai_ci;
insert into described values (1, 1), (2, 2);
create table srid (id int primary key, g geometry not null srid 4326, spatial key (g));
insert into srid values (1, st_geomfromtext('point(10 20)', 4326));
