-- An application whose tables an object mapper made: names in mixed case, enumerations, a domain, texts that ignore
-- case, arrays and JSON. Prices name their product in whatever case somebody typed.
CREATE EXTENSION citext;
CREATE TYPE "ProductStatus" AS ENUM ('DRAFT', 'ACTIVE', 'ARCHIVED');
CREATE TYPE "BillingInterval" AS ENUM ('ONCE', 'MONTHLY', 'YEARLY');
CREATE DOMAIN minor_units AS bigint CHECK (VALUE >= 0);
CREATE TABLE "TaxClass" ("id" text PRIMARY KEY, "stripeCode" text NOT NULL);
CREATE TABLE "Brand" ("id" text PRIMARY KEY, "displayName" text NOT NULL);
CREATE TABLE "Product" (
    "sku" citext PRIMARY KEY,
    "title" text NOT NULL,
    "status" "ProductStatus" NOT NULL DEFAULT 'DRAFT',
    "brandId" text REFERENCES "Brand",
    "taxClassId" text REFERENCES "TaxClass",
    "features" varchar(80)[] NOT NULL DEFAULT '{}',
    "imageUrls" text[] NOT NULL DEFAULT '{}',
    "attributes" jsonb NOT NULL DEFAULT '{}',
    "createdAt" timestamp(3) NOT NULL DEFAULT now()
);
CREATE TABLE "Price" (
    "id" uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "productSku" citext NOT NULL REFERENCES "Product" ON DELETE CASCADE ON UPDATE CASCADE,
    "currency" char(3) NOT NULL,
    "amount" minor_units NOT NULL,
    "interval" "BillingInterval" NOT NULL DEFAULT 'ONCE',
    "isDefault" boolean NOT NULL DEFAULT false
);
ALTER TABLE "Price" REPLICA IDENTITY FULL;
CREATE TABLE "Tag" ("id" int PRIMARY KEY, "name" text NOT NULL);
CREATE TABLE "_ProductToTag" (
    "A" citext NOT NULL REFERENCES "Product" ON DELETE CASCADE ON UPDATE CASCADE,
    "B" int NOT NULL REFERENCES "Tag" ON DELETE CASCADE,
    PRIMARY KEY ("A", "B")
);
