create table customers(id integer, name text, city text, balance real, active integer, note text);
insert into customers values (1,'Ann "The Boss" Lee','Zürich',12.5,1,'said "hi", left'),(2,'Bob','Genève',-3.25,0,NULL),(3,'Çelik','Bern',NULL,1,'two
lines'),(4,'Dan','Basel; old town',0.1,0,'tab	inside'),(5,'Eve','Luzern',1000000,1,'back\slash'),(6,'Fay',NULL,7,0,'');
