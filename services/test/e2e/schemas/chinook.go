package schemas

// chinook returns what Stripe must have for Chinook: albums as products, with a price for each track.
func chinook(t *tables, _ string) Catalog {
	want := Catalog{}
	artists, genres := by(t.all("artist"), "artist_id"), by(t.all("genre"), "genre_id")
	formats := by(t.all("media_type"), "media_type_id")
	for _, album := range t.all("album") {
		p := want.product("album-"+album.text("album_id"), album.text("title"))
		p.set("description", "by "+artists[album.text("artist_id")].text("name"))
	}
	for _, track := range t.all("track") {
		if track.null("album_id") {
			continue
		}
		amount := t.minor(track.text("unit_price"), "usd")
		price := want["album-"+track.text("album_id")].price("track-"+track.text("track_id"), "usd", amount)
		price.set("nickname", track.text("name"))
		price.set("metadata.genre", genres[track.text("genre_id")].text("name"))
		price.set("metadata.composer", track.text("composer"))
		price.set("metadata.format", formats[track.text("media_type_id")].text("name"))
	}
	return want
}
