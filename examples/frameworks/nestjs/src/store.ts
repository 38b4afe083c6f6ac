import type { CallOptions } from '@grpc/grpc-js';
import type { Observable } from 'rxjs';

export interface File {
  file: string; // names a descriptor
}

export interface Text {
  text: string;
}

/** The client of the service. NestJS passes the options on to grpc-js. */
export interface StoreClient {
  put(request: File, options?: CallOptions): Observable<Text>;
  get(request: Partial<Text>, options?: CallOptions): Observable<File>;
  putAll(requests: Observable<File>, options?: CallOptions): Observable<Text>;
  getAll(request: Partial<Text>, options?: CallOptions): Observable<File>;
  exchange(requests: Observable<File>, options?: CallOptions): Observable<File>;
}
